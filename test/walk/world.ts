import { execFile, spawn } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Domnet, Vif, Vifd } from '../support/net/domnet.js';
import { type HostState, hostState } from '../support/net/host-state.js';
import { OpenVswitch } from '../support/net/openvswitch.js';
import { exec, until } from '../support/process/exec.js';
import { Eyes, type LinkEvent, ovsPorts, type Sent } from './eyes.js';
import {
  type Bridge,
  bridgePeer,
  bridges,
  gatewayOf,
  guestOf,
  internet,
  isRouted,
  type Keys,
  type Model,
  macOf,
  management,
  type NftFault,
  nameOf,
  otherPeer,
  ovsPeer,
  type Probe,
  type Step,
  spoofed,
  type Topology,
  type Uplink,
  uplinkAddress,
  uplinkPeer,
  uplinks,
  type VifModel,
  vifOf,
  wantedName,
} from './model.js';
import type { Snapshot } from './snapshot.js';
import { needsTable } from './spec.js';
import { movedName, takenName } from './steps.js';

/** The daemon that is walked: another build's main.js when the environment says so. */
export const vifdMain = (): string =>
  process.env.WALK_VIFD ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** A rule that did not hold, and what was expected and seen. */
export class Broken extends Error {
  readonly rule: string;
  readonly lines: readonly string[];

  constructor(rule: string, lines: readonly string[]) {
    super(`${rule}: ${lines.join('; ')}`);
    this.rule = rule;
    this.lines = lines;
  }
}

/** One vif of `vifd status --json`, as far as it is compared. */
export interface ToldStatus {
  readonly vif: string;
  readonly state: string;
  readonly netdev: string | null;
  readonly ifindex: number | null;
  readonly mtu: number | null;
  readonly error: string | null;
  readonly missing?: readonly string[];
}

/** What xenstore says of a vif; undefined without a directory. */
export interface StoreStatus {
  readonly status: string | undefined;
  readonly error: string | undefined;
}

// Namespaces beside the guests': numbers that no domid has.
const outsideNumber: Readonly<Record<Uplink, number>> = { up0: 60_000, up1: 60_001 };
const bridgeNumber: Readonly<Record<Bridge, number>> = { xenbr0: 60_002, xenbr1: 60_003 };
const ovsNumber = 60_004;
const managementNumber = 60_005;

/** Addresses of devices that are made again: others remember them. */
const macs = {
  up0: ['02:00:00:00:00:01', '02:00:00:00:00:02'],
  up1: ['02:00:00:00:01:01', '02:00:00:00:01:02'],
  xenbr0: ['02:00:00:00:02:01', '02:00:00:00:02:02'],
  xenbr1: ['02:00:00:00:03:01', '02:00:00:00:03:02'],
  ovs: ['02:00:00:00:04:01', '02:00:00:00:04:02'],
  mg0: ['02:00:00:00:05:01', '02:00:00:00:05:02'],
} as const;

/**
 * A driver domain with two uplinks, a management network, two Linux bridges and one of Open vSwitch, and what happens to
 * it: libxl's, netback's and the guests' hands are here, and the operator's.
 */
export class WalkDomain {
  readonly domnet: Domnet;
  /** The rules that all vifs share, as they were when they were seen first, by table. */
  readonly rules = new Map<string, string>();
  readonly #hasSwitch: boolean;
  #ovs: OpenVswitch | undefined;
  #eyes: Eyes | undefined;
  #vifd: Vifd | undefined;
  /** Daemons that are gone, for their last lines. */
  readonly #former: Vifd[] = [];
  /** How the guests are configured now, as batches of ip. */
  readonly #configured = new Map<number, string>();
  #xenstoredStopped = false;
  #before: HostState | undefined;

  private constructor(domnet: Domnet, hasSwitch: boolean) {
    this.domnet = domnet;
    this.#hasSwitch = hasSwitch;
  }

  /** @param options.openvswitch whether any vif will be on it; it costs a second */
  static async start(options: { vifs: readonly VifModel[]; openvswitch: boolean }): Promise<WalkDomain> {
    const world = new WalkDomain(await Domnet.start(), options.openvswitch);
    try {
      await world.#build(options.vifs.map(({ domid }) => domid));
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  async #build(domids: readonly number[]): Promise<void> {
    const { domnet } = this;
    // dnsmasq gives up root before it reads its files.
    chmodSync(domnet.dir, 0o755);
    const others = [
      ...Object.values(outsideNumber),
      ...Object.values(bridgeNumber),
      ovsNumber,
      managementNumber,
    ];
    for (const number of [...domids, ...others]) {
      const namespace = await domnet.guestNamespace(number);
      await this.#sysctl(namespace, {
        'net/ipv4/conf/default/arp_notify': '1',
        'net/ipv6/conf/default/disable_ipv6': '1',
        'net/ipv6/conf/all/disable_ipv6': '1',
      });
    }
    for (const uplink of uplinks) await this.#makeUplink(uplink);
    await this.#ipBatch(domnet.namespace, [`route add default via ${uplinkPeer.up0}`]);
    const there = await domnet.guestNamespace(managementNumber);
    await this.#veth('mg0', macs.mg0, there);
    await this.#ipBatch(there, [
      'link set lan0 up',
      `address add ${management.peer}/24 dev lan0`,
      `route add default via ${management.address}`,
    ]);
    await this.#ipBatch(domnet.namespace, [
      'link set mg0 up',
      `address add ${management.address}/24 dev mg0`,
    ]);
    for (const bridge of bridges) {
      const peer = await domnet.guestNamespace(bridgeNumber[bridge]);
      await this.#veth(`p${bridge}`, macs[bridge], peer);
      await this.#ipBatch(peer, [
        'link set lan0 up',
        impatient('lan0'),
        `address add ${bridgePeer[bridge]}/16 dev lan0`,
        `address add ${otherPeer[bridge]}/16 dev lan0`,
      ]);
      await this.#makeBridge(bridge);
    }
    if (this.#hasSwitch) await this.#startSwitch();
    this.#eyes = await Eyes.open(domnet.namespace, domnet.dir);
    this.#before = await this.#hostState();
    await this.#startVifd();
  }

  async #startSwitch(): Promise<void> {
    const ovs = new OpenVswitch(this.domnet);
    this.#ovs = ovs;
    await ovs.start();
    await ovs.addBridge('ovsbr0');
    const peer = await this.domnet.guestNamespace(ovsNumber);
    await this.#veth('povs', macs.ovs, peer);
    await this.#ipBatch(peer, ['link set lan0 up', impatient('lan0'), `address add ${ovsPeer}/16 dev lan0`]);
    await this.#ipBatch(this.domnet.namespace, ['link set povs up']);
    await ovs.vsctl('add-port ovsbr0 povs');
  }

  async #makeUplink(uplink: Uplink): Promise<void> {
    const outside = await this.domnet.guestNamespace(outsideNumber[uplink]);
    await this.#veth(uplink, macs[uplink], outside);
    await this.#ipBatch(outside, [
      'link set lan0 up',
      impatient('lan0'),
      `address add ${uplinkPeer[uplink]}/24 dev lan0`,
      `address add ${internet}/32 dev lan0`,
      // Routed guests are reached as neighbours.
      'route add 198.18.0.0/16 dev lan0',
    ]);
    await this.#ipBatch(this.domnet.namespace, [
      `link set ${uplink} up`,
      `address add ${uplinkAddress[uplink]}/24 dev ${uplink}`,
      impatient(uplink),
    ]);
  }

  async #makeBridge(bridge: Bridge): Promise<void> {
    await this.#ipBatch(this.domnet.namespace, [
      `link add ${bridge} address 02:00:00:00:0${bridge === 'xenbr0' ? 6 : 7}:01 type bridge forward_delay 0`,
      // Set by hand, it does not follow the smallest of its ports.
      `link set ${bridge} mtu 1500 up`,
      `link set p${bridge} master ${bridge} up`,
    ]);
  }

  #veth(name: string, [here, there]: readonly [string, string], namespace: string): Promise<void> {
    return this.#ipBatch(this.domnet.namespace, [
      `link add ${name} address ${here} type veth peer name lan0 address ${there} netns ${namespace}`,
    ]);
  }

  async #ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
    await ipBatch(namespace, lines);
  }

  async #sysctl(namespace: string, values: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(values).map(([name, value]) => `echo ${value} > /proc/sys/${name}`);
    await exec('ip', ['netns', 'exec', namespace, 'sh', '-c', lines.join('; ')]);
  }

  #hostState(): Promise<HostState> {
    return hostState(this.domnet, new Vif(this.domnet, 0, 0), 'none', this.#ovs);
  }

  async #startVifd(): Promise<void> {
    const file = join(this.domnet.dir, 'vifd.toml');
    writeFileSync(
      file,
      `[nat]\ndhcp = "dnsmasq"\ndns = ["192.0.2.53"]\n[log]\nlevel = "debug"\n${this.#ovs?.config ?? ''}`,
    );
    const args = [
      'netns',
      'exec',
      this.domnet.namespace,
      process.execPath,
      vifdMain(),
      'run',
      '--config',
      file,
    ];
    const child = spawn('ip', args, { env: this.domnet.vifdEnv, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#vifd = new Vifd(child);
    await this.#vifd.logged('ready');
  }

  async #endVifd(how: 'terminate' | 'kill'): Promise<void> {
    const vifd = this.#vifd;
    if (vifd === undefined) return;
    this.#vifd = undefined;
    this.#former.push(vifd);
    if (this.#former.length > 3) this.#former.shift();
    await vifd[how]();
  }

  /** Why the daemon is not running although it should be. */
  get crash(): string | undefined {
    const vifd = this.#vifd;
    return vifd === undefined || existsSync(`/proc/${vifd.pid}/stat`)
      ? undefined
      : `vifd ended by itself: ${vifd.noise.slice(-20).join('\n')}`;
  }

  /** The last lines of the daemons' log. */
  log(lines: number): string[] {
    const all = [...this.#former, ...(this.#vifd === undefined ? [] : [this.#vifd])];
    const texts = all.flatMap((vifd) => [...vifd.log.map((line) => JSON.stringify(line)), ...vifd.noise]);
    return texts.slice(-lines);
  }

  /** CPU time of the daemon in ms, and its memory in MB. */
  usage(): { cpu: number; rss: number } | undefined {
    if (this.#vifd === undefined) return undefined;
    const stat = readFileSync(`/proc/${this.#vifd.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#vifd.pid}/status`, 'utf8'))?.[1];
    return { cpu: 10 * (Number(fields[11]) + Number(fields[12])), rss: Number(rss) / 1024 };
  }

  async snapshot(): Promise<Snapshot> {
    const [kernel, ports] = await Promise.all([
      this.#look.snapshot(),
      this.#ovs === undefined ? [] : ovsPorts(join(this.#ovs.dir, 'db.sock')),
    ]);
    return { ...kernel, ports, dhcp: this.#dhcpFiles() };
  }

  events(): Promise<LinkEvent[]> {
    return this.#look.events();
  }

  traffic(): Promise<[route: number, nftables: number]> {
    return this.#look.traffic();
  }

  get #look(): Eyes {
    return this.#eyes as Eyes;
  }

  #dhcpFiles(): Record<string, string> {
    const read = (kind: string, name: string): string => {
      try {
        return readFileSync(join(this.domnet.dir, 'dhcp', kind, name), 'utf8');
      } catch {
        return '';
      }
    };
    try {
      const names = readdirSync(join(this.domnet.dir, 'dhcp', 'hosts'));
      return Object.fromEntries(names.map((name) => [name, read('hosts', name) + read('options', name)]));
    } catch {
      return {};
    }
  }

  /** The probes that went otherwise than they must, as sentences. */
  async probe(probes: readonly Probe[], model: Model, ms: number): Promise<string[]> {
    const sent = await Promise.all(
      probes.map(async (probe): Promise<Sent> => {
        const number = typeof probe.in === 'number' ? probe.in : outsideNumber[probe.in];
        const { kind, from, to, must } = probe;
        const namespace = await this.domnet.guestNamespace(number);
        const mac =
          typeof probe.in === 'number' ? macOf(probe.in, vifOf(model, probe.in).keys.othermac) : undefined;
        return { kind, in: namespace, from, to, must, ...(mac === undefined ? {} : { mac }), device: 'eth0' };
      }),
    );
    const answers = await this.#look.probe(sent, ms);
    return probes.flatMap(({ kind, must, what, to }, at) => {
      const answer = answers.get(at);
      if ((answer !== undefined) !== must) {
        return [`${what}: ${must ? 'no answer' : 'answered, and must not be'}`];
      }
      return kind === 'dhcp' && answer !== to ? [`${what}: offered ${answer} instead of ${to}`] : [];
    });
  }

  /** What a shell command in the driver domain prints; `OVS_RUNDIR` and `DB` are Open vSwitch's. */
  shell(command: string): Promise<string> {
    const where = `export OVS_RUNDIR=${this.#ovs?.dir} DB=${this.#ovs?.database}`;
    return this.domnet.exec('sh', ['-c', `${where}; { ${command}; } 2>&1 || :`]);
  }

  async stored(domid: number): Promise<StoreStatus | undefined> {
    const vif = this.#vif(domid);
    const [exists, status, error] = await Promise.all([
      vif.exists(),
      vif.read('hotplug-status'),
      vif.read('hotplug-error'),
    ]);
    return exists ? { status, error } : undefined;
  }

  /** `vifd status --json`. */
  told(): Promise<ToldStatus[]> {
    return new Promise((resolve, reject) => {
      const socketPath = join(this.domnet.dir, 'control.sock');
      const asking = request({ socketPath, path: '/status', timeout: 2000 }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        answer.on('end', () => resolve((JSON.parse(text) as { vifs: ToldStatus[] }).vifs));
      });
      asking.on('timeout', () => asking.destroy(new Error('no answer within 2 s')));
      asking.on('error', reject);
      asking.end();
    });
  }

  /** Takes a step. @param afterwards the world as it will be, by which the guests are configured */
  async perform(step: Step, model: Model, afterwards: Model): Promise<void> {
    await this.#perform(step, model);
    await this.#configureGuests(afterwards);
  }

  async #perform(step: Step, model: Model): Promise<void> {
    const { domnet } = this;
    switch (step.do) {
      case 'come':
        return await this.#come(step.vif, step.topology, step.keys);
      case 'go':
        return await this.#go(step.vif, [vifOf(model, step.vif).name]);
      case 'force':
        return await this.#force(step.vif, [vifOf(model, step.vif).name], step.first);
      case 'rush': {
        await this.#come(step.vif, step.topology, step.keys);
        await sleep(step.after);
        const names = [nameOf(step.vif), ...(step.keys.vifname === undefined ? [] : [step.keys.vifname])];
        return step.by === 'go'
          ? await this.#go(step.vif, names)
          : await this.#force(step.vif, names, 'directory');
      }
      case 'reuse':
        await this.#force(step.vif, [vifOf(model, step.vif).name], 'directory');
        return await this.#come(step.vif, step.topology, step.keys);
      case 'reconnect': {
        const vif = this.#vif(step.vif);
        for (const state of [4, 5, 6, 2, 4]) await vif.setState(state);
        return;
      }
      case 'script': {
        const vif = this.#vif(step.vif);
        const old = this.#keys(step.vif, vifOf(model, step.vif).topology, vifOf(model, step.vif).keys);
        await this.#change(vif, old, this.#keys(step.vif, step.topology, step.keys));
        return await this.#guestMac(step.vif, step.keys.othermac ?? false);
      }
      case 'rewrite':
      case 'same-address':
      case 'same-name':
      case 'apart':
      case 'take-name': {
        const { topology, keys } = vifOf(model, step.vif);
        const next = this.#next as VifModel;
        if (step.do === 'take-name') {
          const name = takenName(step.vif);
          await domnet.ip(`link add ${name} type veth peer name ${name}p`);
        }
        await this.#change(
          this.#vif(step.vif),
          this.#keys(step.vif, topology, keys),
          this.#keys(step.vif, topology, next.keys),
        );
        if (next.keys.othermac !== keys.othermac) await this.#guestMac(step.vif, next.keys.othermac ?? false);
        return;
      }
      case 'free-name':
        await domnet.ip(`link delete ${takenName(step.vif)}`);
        return;
      case 'replace': {
        const vif = vifOf(model, step.vif);
        await domnet.ip(`link delete ${vif.name}`);
        return await this.#makeNetdev(vif.domid, vif.keys);
      }
      case 'rename': {
        const { name } = vifOf(model, step.vif);
        await this.#ipBatch(domnet.namespace, [
          ...(step.down ? [`link set ${name} down`] : []),
          `link set ${name} name ${movedName(step.vif)}`,
        ]);
        return;
      }
      case 'down':
        await domnet.ip(`link set ${vifOf(model, step.vif).name} down`);
        return;
      case 'hijack':
        await domnet.ip(`route replace ${guestOf(vifOf(model, step.vif)).address}/32 dev up0 metric 2`);
        return;
      case 'hand':
        return await this.#takeByHand(step, vifOf(model, step.vif), model);
      case 'bridge':
        if (step.there) await this.#makeBridge(step.bridge);
        else await domnet.ip(`link delete ${step.bridge}`);
        return;
      case 'uplink':
        if (step.become === 'there') await this.#makeUplink(step.uplink);
        else if (step.become === 'gone') await domnet.ip(`link delete ${step.uplink}`);
        else await domnet.ip(`link set ${step.uplink} ${step.become}`);
        return;
      case 'address': {
        const what = `${uplinkAddress[step.uplink]}/24 dev ${step.uplink}`;
        await domnet.ip(`address ${step.there ? 'add' : 'delete'} ${what}`);
        return;
      }
      case 'default':
        await domnet.ip(
          step.uplink === null
            ? 'route delete default'
            : `route replace default via ${uplinkPeer[step.uplink]}`,
        );
        return;
      case 'blink':
        return await this.#blink(step, model.defaultRoute);
      case 'nft':
        return await this.#nft(step.fault);
      case 'dnsmasq': {
        const { dnsmasqs } = await this.#look.snapshot();
        for (const pid of dnsmasqs) process.kill(pid, 'SIGKILL');
        return;
      }
      case 'ovsdb':
        if (step.run) {
          await this.#switch.startServer();
          // ovs-vswitchd looks for its database every 1 to 8 s; ovs-vsctl waits until it has done what it was told.
          if (model.vswitchd) await until('ovs-vswitchd', () => this.#switchDone().then(...settled), 12_000);
          await this.#databaseReached();
        } else {
          this.#switch.signalServer('SIGKILL');
          await this.#switch.stopServer();
        }
        return;
      case 'vswitchd':
        if (!step.run) return await this.#switch.stopSwitch();
        await this.#switch.startSwitch();
        if (model.ovsdb && !(await this.#switchDone().then(...settled))) await this.#restartSwitch();
        return;
      case 'vifd':
        return await this.#daemon(step.how);
      case 'xenstored':
        this.#xenstoredStopped = !step.run;
        domnet.xenstored.signal(step.run ? 'SIGCONT' : 'SIGSTOP');
        return;
      case 'quiet':
        return;
    }
  }

  /** Resolves when ovs-vswitchd has made its configuration what the database says: ovs-vsctl waits for that. */
  async #switchDone(): Promise<void> {
    for (const change of [
      'set open_vswitch . external_ids:walk=1',
      'remove open_vswitch . external_ids walk',
    ]) {
      const options = [`--db=${this.#switch.database}`, '--timeout=3'];
      await this.domnet.exec('ovs-vsctl', [...options, ...change.split(' ')]);
    }
  }

  /**
   * Starts all of Open vSwitch again. Now and then ovsdb-server 3.1 goes on keeping the lock of an ovs-vswitchd that has
   * ended, and the next one waits for ever ("another ovs-vswitchd process is running").
   */
  async #restartSwitch(): Promise<void> {
    await this.#switch.stopSwitch();
    this.#switch.signalServer('SIGKILL');
    await this.#switch.stopServer();
    await this.#switch.startServer();
    await this.#switch.startSwitch();
    await until('ovs-vswitchd', () => this.#switchDone().then(...settled), 12_000);
    await this.#databaseReached();
  }

  /** The daemon looks for a database that went away after 0.1 to 5 s. */
  async #databaseReached(): Promise<void> {
    const last = (msg: string): number => this.#vifd?.log.findLastIndex((line) => line.msg === msg) ?? -1;
    await until(
      'the daemon to have the database again',
      () => last('openvswitch database reached') >= last('openvswitch database not reachable'),
      6000,
    );
  }

  get #switch(): OpenVswitch {
    if (this.#ovs === undefined) throw new Error('there is no Open vSwitch in this world');
    return this.#ovs;
  }

  /** How the vif of the step is to be, set before each step. */
  #next: VifModel | undefined;
  expect(vif: VifModel | undefined): void {
    this.#next = vif;
  }

  #vif(domid: number): Vif {
    return new Vif(this.domnet, domid, 0);
  }

  #keys(domid: number, topology: Topology, keys: Keys): Record<string, string | undefined> {
    return {
      script: `/etc/xen/scripts/vif-${topology}`,
      bridge: keys.bridge,
      ip: keys.ip,
      gatewaydev: keys.gatewaydev,
      mtu: keys.mtu === undefined ? undefined : `${keys.mtu}`,
      vifname: keys.vifname,
      mac: macOf(domid, keys.othermac),
    };
  }

  async #come(domid: number, topology: Topology, keys: Keys): Promise<void> {
    const vif = await this.domnet.writeDevice({ domid, keys: this.#keys(domid, topology, keys) });
    await this.#makeNetdev(domid, keys);
    await vif.setState(2);
  }

  async #makeNetdev(domid: number, keys: Keys): Promise<void> {
    this.#configured.delete(domid);
    const guest = await this.domnet.guestNamespace(domid);
    await this.#ipBatch(this.domnet.namespace, [
      `link add ${nameOf(domid)} address fe:ff:ff:ff:ff:ff type veth peer name eth0 address ${macOf(domid, keys.othermac)} netns ${guest}`,
    ]);
  }

  /** Death as dom0 asks for it: netback closes and unregisters, the agent deletes the directory, dom0 the rest. */
  async #go(domid: number, netdevs: readonly string[]): Promise<void> {
    const vif = this.#vif(domid);
    await vif.write({ online: '0', state: '5' });
    await vif.setState(6);
    await this.#unregister(netdevs);
    await until('the deletion', async () => !(await vif.exists()), 1500).catch(() => {
      throw new Broken('deletion', [`${vif.backend} is not deleted after 1.5 s`]);
    });
    await this.#forget(vif);
  }

  async #force(domid: number, netdevs: readonly string[], first: 'directory' | 'netdev'): Promise<void> {
    const vif = this.#vif(domid);
    if (first === 'netdev') await this.#unregister(netdevs);
    await this.domnet.xenstore.rm(vif.backend);
    if (first === 'directory') await this.#unregister(netdevs);
    await this.#forget(vif);
  }

  /** netback's netdev goes, whatever it is called by then. */
  async #unregister(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (await this.domnet.ip(`link delete ${name}`).then(...settled)) return;
    }
  }

  /** What dom0 deletes when the device is gone. */
  async #forget(vif: Vif): Promise<void> {
    const { xenstore } = this.domnet;
    await xenstore.rm(`/local/domain/${vif.domid}`);
    for (const path of [`backend/vif/${vif.domid}`, 'backend/vif', 'backend']) {
      if ((await xenstore.directory(path).catch(() => ['?'])).length > 0) break;
      await xenstore.rm(path);
    }
  }

  /** dom0 writes keys anew, those that differ, in one transaction. */
  async #change(
    vif: Vif,
    before: Readonly<Record<string, string | undefined>>,
    next: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const operations = Object.keys(next)
      .filter((key) => before[key] !== next[key])
      .map((key) => {
        const path = `${vif.backend}/${key}`;
        const value = next[key];
        return value === undefined ? ({ op: 'rm', path } as const) : ({ op: 'write', path, value } as const);
      });
    await this.domnet.xenstore.commit(operations);
  }

  async #guestMac(domid: number, other: boolean): Promise<void> {
    const guest = await this.domnet.guestNamespace(domid);
    await this.#ipBatch(guest, [`link set eth0 address ${macOf(domid, other)}`]);
  }

  /** The guests that are there have the addresses they should, and their routes. */
  async #configureGuests(model: Model): Promise<void> {
    for (const vif of model.vifs) {
      if (!vif.present) {
        this.#configured.delete(vif.domid);
        continue;
      }
      const { address, prefix, router } = guestOf(vif);
      const lines = [
        `address add ${address}/${prefix} dev eth0`,
        ...(vif.topology === 'bridge' ? [`address add ${spoofed(vif.domid)}/16 dev eth0`] : []),
        ...(vif.topology === 'route' ? [`route add ${router} dev eth0`] : []),
        ...(isRouted(vif) ? [`route add default via ${router}`] : []),
      ];
      const text = lines.join('\n');
      const now = this.#configured.get(vif.domid);
      if (now === text) continue;
      const begin = now === undefined ? ['link set eth0 up', impatient('eth0')] : ['address flush dev eth0'];
      await this.#ipBatch(await this.domnet.guestNamespace(vif.domid), [...begin, ...lines]);
      this.#configured.set(vif.domid, text);
    }
  }

  async #blink({ what, ms }: Extract<Step, { do: 'blink' }>, uplink: Uplink | undefined): Promise<void> {
    const { domnet } = this;
    if (what === 'bridge') {
      await domnet.ip('link delete xenbr0');
      await sleep(ms);
      return await this.#makeBridge('xenbr0');
    }
    if (uplink === undefined) return;
    const back = `route add default via ${uplinkPeer[uplink]}`;
    const address = `${uplinkAddress[uplink]}/24 dev ${uplink}`;
    const [off, on] = {
      default: [['route delete default'], [back]],
      address: [[`address delete ${address}`], [`address add ${address}`, back]],
      link: [[`link set ${uplink} down`], [`link set ${uplink} up`, back]],
    }[what] as [string[], string[]];
    await this.#ipBatch(domnet.namespace, off);
    await sleep(ms);
    await this.#ipBatch(domnet.namespace, on);
  }

  async #nft(fault: NftFault): Promise<void> {
    const words = fault.split(' ');
    const table = `${words.at(-2)} ${words.at(-1)}`;
    const insert = (chain: string): string => `insert rule ${chain} counter accept comment "mine"`;
    if (fault.endsWith('of a vif')) {
      const { chains } = await this.#look.snapshot();
      const chain = chains.find(
        ({ table: of, chain: name }) => of === 'netdev vifd' && name.startsWith('vif'),
      );
      const path = `${chain?.table} ${chain?.chain}`;
      if (chain !== undefined)
        await this.#tryNft(words[0] === 'flush' ? `flush chain ${path}` : insert(path));
    } else if (fault.startsWith('dormant')) {
      // Adding it to what is not there would make a table.
      const { tables } = await this.#look.snapshot();
      if (tables.some((one) => one.table === table))
        await this.#tryNft(`add table ${table} { flags dormant; }`);
    } else if (fault.startsWith('foreign chain')) {
      await this.#tryNft(`add chain ${table} mine; add rule ${table} mine counter`);
    } else {
      await this.#tryNft(fault.startsWith('foreign rule') ? insert(words.slice(2).join(' ')) : fault);
    }
  }

  /** What is not there cannot be changed, and what is vifd's alone may not. */
  async #tryNft(commands: string): Promise<void> {
    await this.domnet.exec('nft', [commands]).catch((error: Error) => {
      if (!/No such file|not permitted|Operation not supported|syntax/.test(error.message)) throw error;
    });
  }

  async #takeByHand({ fault }: Extract<Step, { do: 'hand' }>, vif: VifModel, model: Model): Promise<void> {
    const { domnet } = this;
    const { address, router } = guestOf(vif);
    const { name } = vif;
    const gateway = gatewayOf(vif, model);
    switch (fault) {
      case 'route':
        await domnet.ip(`route delete ${address}/32 dev ${name}`);
        return;
      case 'address':
        await domnet.ip(`address delete ${router}/32 dev ${name}`);
        return;
      case 'all addresses':
        await domnet.ip(`address flush dev ${name}`);
        return;
      case 'forwarding':
      case 'proxy_arp':
        return await this.#sysctl(domnet.namespace, { [`net/ipv4/conf/${name}/${fault}`]: '0' });
      // The kernel tells nobody of these two: what is not repaired soon is put back by the hand that took it.
      case 'neighbour':
        return await this.#unannounced(
          `neighbour delete ${address} dev ${name}`,
          `neighbour replace ${address} lladdr ${macOf(vif.domid, vif.keys.othermac)} nud permanent dev ${name}`,
        );
      case 'proxy':
        return await this.#unannounced(
          `neighbour delete proxy ${address} dev ${gateway}`,
          `neighbour add proxy ${address} dev ${gateway}`,
        );
    }
  }

  async #unannounced(off: string, on: string): Promise<void> {
    await this.domnet.ip(off);
    this.#vifd?.hangUp();
    await sleep(50);
    await this.domnet.ip(on).catch(() => undefined);
  }

  async #daemon(how: Extract<Step, { do: 'vifd' }>['how']): Promise<void> {
    if (how === 'reload') return this.#vifd?.hangUp();
    if (how === 'stop' || how === 'restart') await this.#endVifd('terminate');
    if (how === 'kill' || how === 'crash') await this.#endVifd('kill');
    if (how === 'start' || how === 'restart' || how === 'crash') await this.#startVifd();
  }

  /**
   * The end of all: the surroundings are made what they were, the vifs go as dom0 asks, the daemon stops.
   * @returns what is otherwise than before the first vif came
   */
  async finish(
    model: Model,
  ): Promise<[thing: string, before: string | undefined, after: string | undefined][]> {
    const { domnet } = this;
    const steps: Step[] = [
      ...(model.xenstored ? [] : [{ do: 'xenstored', run: true } as const]),
      ...(model.ovsdb ? [] : [{ do: 'ovsdb', run: true } as const]),
      ...(model.vswitchd ? [] : [{ do: 'vswitchd', run: true } as const]),
      ...(model.vifd ? [] : [{ do: 'vifd', how: 'start' } as const]),
    ];
    for (const step of steps) await this.#perform(step, model);
    // A table with something of others in it stays, also without it when no vif needs the table any more.
    const { tables } = await this.#look.snapshot();
    for (const { table } of tables) {
      await this.#tryNft(`delete chain ${table} mine`);
      if (!needsTable(table, model)) await this.#tryNft(`delete table ${table}`);
    }
    for (const vif of model.vifs) if (vif.present) await this.#go(vif.domid, [vif.name, wantedName(vif)]);
    for (const bridge of bridges) if (!model.bridges[bridge]) await this.#makeBridge(bridge);
    for (const uplink of uplinks) {
      const { there, up, address } = model.uplinks[uplink];
      if (!there) await this.#makeUplink(uplink);
      else {
        if (!up) await domnet.ip(`link set ${uplink} up`);
        if (!address) await domnet.ip(`address add ${uplinkAddress[uplink]}/24 dev ${uplink}`);
      }
    }
    await domnet.ip(`route replace default via ${uplinkPeer.up0}`);
    for (const name of Object.keys(model.foreign)) await domnet.ip(`link delete ${name}`);
    await this.#endVifd('terminate');
    const before = this.#before as HostState;
    const after = await this.#hostState();
    const flat = (state: HostState): Map<string, string> =>
      new Map(
        [...state].flatMap(([thing, attributes]) =>
          [...attributes].map(([name, value]) => [name === '' ? thing : `${thing}: ${name}`, value] as const),
        ),
      );
    const [old, now] = [flat(before), flat(after)];
    return [...new Set([...old.keys(), ...now.keys()])]
      .filter((thing) => old.get(thing) !== now.get(thing))
      .map((thing) => [thing, old.get(thing), now.get(thing)]);
  }

  /** Ends everything that was started and removes everything that was made, whatever state it is in. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (what: () => Promise<unknown> | undefined): Promise<void> => {
      await Promise.resolve(what()).catch((error: unknown) => failures.push(error));
    };
    if (this.#xenstoredStopped) this.domnet.xenstored.signal('SIGCONT');
    await attempt(() => this.#endVifd('kill'));
    // A daemon that was killed may have left its dnsmasq.
    await attempt(async () => {
      for (const pid of (await this.#eyes?.snapshot())?.dnsmasqs ?? []) process.kill(pid, 'SIGKILL');
    });
    await attempt(() => this.#eyes?.close());
    await attempt(() => this.#ovs?.stop());
    await attempt(() => this.domnet.stop());
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be removed');
  }
}

/** Like `exec` with an input, but that a program which ends before it has read it is an error like any other. */
async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  const running = promisify(execFile)('ip', ['-n', namespace, '-batch', '-']);
  running.child.stdin?.on('error', () => undefined);
  running.child.stdin?.end(`${lines.join('\n')}\n`);
  await running;
}

/** Handlers that tell whether a promise was fulfilled. */
const settled = [() => true, () => false] as const;

/** A neighbour that did not answer is asked again soon, and an answer is believed at once. */
const impatient = (device: string): string =>
  `ntable change name arp_cache dev ${device} retrans 60 locktime 0`;
