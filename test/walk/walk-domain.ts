import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Domnet, Vif } from '../support/net/domnet.js';
import { type HostState, hostState } from '../support/net/host-state.js';
import { guestOf, macOf, nameOf, uplinkAddress, uplinkPeer6, wantedName } from './addresses.js';
import { ipBatch } from './batch.js';
import { Dom0, storedKeys } from './dom0.js';
import { Eyes, type LinkEvent, ovsPorts, type Sent } from './eyes.js';
import { bridges, type Model, type Step, uplinks, type VifModel, vifOf } from './model.js';
import { address6On, defaultBy, Networks } from './networks.js';
import { Operator } from './operator.js';
import type { Probe } from './probes.js';
import type { Snapshot } from './snapshot.js';
import { needsTable } from './spec.js';
import type { StoreStatus } from './statuses.js';
import { movedName, takenName } from './steps.js';
import { WalkedDaemon } from './walked-daemon.js';
import { WalkedSwitch } from './walked-switch.js';

/**
 * A driver domain with two uplinks, a management network, two Linux bridges and one of Open vSwitch, and the steps of a
 * walk in it.
 */
export class WalkDomain {
  readonly domnet: Domnet;
  /** The rules that all vifs share, as they were when they were seen first, by table. */
  readonly rules = new Map<string, string>();
  readonly #networks: Networks;
  readonly #dom0: Dom0;
  #switch: WalkedSwitch | undefined;
  #parts: { daemon: WalkedDaemon; operator: Operator } | undefined;
  #eyes: Eyes | undefined;
  #xenstoredStopped = false;
  #before: HostState | undefined;
  /** How the vif of the step is to be, set before each step. */
  #next: VifModel | undefined;

  private constructor(domnet: Domnet) {
    this.domnet = domnet;
    this.#networks = new Networks(domnet);
    this.#dom0 = new Dom0(domnet);
  }

  /** @param openvswitch whether any vif will be on it; it costs a second */
  static async start(model: Model, openvswitch: boolean): Promise<WalkDomain> {
    const walked = new WalkDomain(await Domnet.start());
    try {
      await walked.#build(model, openvswitch);
      return walked;
    } catch (error) {
      await walked.stop();
      throw error;
    }
  }

  async #build({ vifs, natNetwork }: Model, hasSwitch: boolean): Promise<void> {
    const { domnet } = this;
    await this.#networks.build(vifs.map(({ slot }) => slot));
    if (hasSwitch) this.#switch = await WalkedSwitch.start(domnet, this.#networks);
    this.#eyes = await Eyes.open(domnet.namespace, domnet.dir);
    this.#before = await this.#hostState();
    const daemon = new WalkedDaemon(domnet, natNetwork, this.#switch?.ovs.config ?? '');
    this.#parts = { daemon, operator: new Operator(domnet, this.#networks, daemon) };
    await daemon.start();
  }

  get daemon(): WalkedDaemon {
    if (this.#parts === undefined) throw new Error('the daemon has not been started');
    return this.#parts.daemon;
  }

  get #operator(): Operator {
    if (this.#parts === undefined) throw new Error('the daemon has not been started');
    return this.#parts.operator;
  }

  get #switchThere(): WalkedSwitch {
    if (this.#switch === undefined) throw new Error('there is no Open vSwitch in this walk');
    return this.#switch;
  }

  /** Sets how the vif of the next step is to be. */
  expect(vif: VifModel | undefined): void {
    this.#next = vif;
  }

  stored(slot: number): Promise<StoreStatus | undefined> {
    return this.#dom0.stored(slot);
  }

  #hostState(): Promise<HostState> {
    return hostState(this.domnet, new Vif(this.domnet, 0, 0), 'none', this.#switch?.ovs);
  }

  async snapshot(): Promise<Snapshot> {
    const [kernel, ports] = await Promise.all([
      this.#look.snapshot(),
      this.#switch === undefined ? [] : ovsPorts(join(this.#switch.ovs.dir, 'db.sock')),
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
        const { kind, from, to, must } = probe;
        const namespace = await (typeof probe.in === 'number'
          ? this.domnet.guestNamespace(probe.in)
          : this.#networks.outside(probe.in));
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
    const where = `export OVS_RUNDIR=${this.#switch?.ovs.dir} DB=${this.#switch?.ovs.database}`;
    return this.domnet.exec('sh', ['-c', `${where}; { ${command}; } 2>&1 || :`]);
  }

  /** Takes a step. @param afterwards the model of it, by which the guests are configured */
  async perform(step: Step, model: Model, afterwards: Model): Promise<void> {
    await this.#perform(step, model);
    await this.#dom0.configureGuests(afterwards);
  }

  async #perform(step: Step, model: Model): Promise<void> {
    const { domnet } = this;
    switch (step.do) {
      case 'come':
        return await this.#dom0.come(step.vif, step.topology, step.keys);
      case 'go':
        return await this.#dom0.go(step.vif, [vifOf(model, step.vif).name]);
      case 'force':
        return await this.#dom0.force(step.vif, [vifOf(model, step.vif).name], step.first);
      case 'rush': {
        await this.#dom0.come(step.vif, step.topology, step.keys);
        await sleep(step.after);
        const names = [nameOf(step.vif), ...(step.keys.vifname === undefined ? [] : [step.keys.vifname])];
        return step.by === 'go'
          ? await this.#dom0.go(step.vif, names)
          : await this.#dom0.force(step.vif, names, 'directory');
      }
      case 'reuse':
        await this.#dom0.force(step.vif, [vifOf(model, step.vif).name], 'directory');
        return await this.#dom0.come(step.vif, step.topology, step.keys);
      case 'reconnect': {
        const vif = this.#dom0.vif(step.vif);
        for (const state of [4, 5, 6, 2, 4]) await vif.setState(state);
        return;
      }
      case 'script': {
        const vif = this.#dom0.vif(step.vif);
        const old = storedKeys(step.vif, vifOf(model, step.vif).topology, vifOf(model, step.vif).keys);
        await this.#dom0.change(vif, old, storedKeys(step.vif, step.topology, step.keys));
        return await this.#dom0.guestMac(step.vif, step.keys.othermac ?? false);
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
        await this.#dom0.change(
          this.#dom0.vif(step.vif),
          storedKeys(step.vif, topology, keys),
          storedKeys(step.vif, topology, next.keys),
        );
        if (next.keys.othermac !== keys.othermac)
          await this.#dom0.guestMac(step.vif, next.keys.othermac ?? false);
        return;
      }
      case 'free-name':
        await domnet.ip(`link delete ${takenName(step.vif)}`);
        return;
      case 'replace': {
        const vif = vifOf(model, step.vif);
        await domnet.ip(`link delete ${vif.name}`);
        return await this.#dom0.makeNetdev(vif.slot, vif.keys);
      }
      case 'rename': {
        const { name } = vifOf(model, step.vif);
        await ipBatch(domnet.namespace, [
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
        return await this.#operator.take(step, vifOf(model, step.vif), model);
      case 'bridge':
        if (step.there) await this.#networks.makeBridge(step.bridge);
        else await domnet.ip(`link delete ${step.bridge}`);
        return;
      case 'uplink':
        if (step.become === 'there') await this.#networks.makeUplink(step.uplink);
        else if (step.become === 'gone') await domnet.ip(`link delete ${step.uplink}`);
        else await domnet.ip(`link set ${step.uplink} ${step.become}`);
        if (step.become === 'up') await ipBatch(domnet.namespace, [address6On(step.uplink)]);
        return;
      case 'address': {
        const what = `${uplinkAddress[step.uplink]}/24 dev ${step.uplink}`;
        await domnet.ip(`address ${step.there ? 'add' : 'delete'} ${what}`);
        return;
      }
      case 'default':
        await ipBatch(
          domnet.namespace,
          step.uplink !== null
            ? defaultBy(step.uplink)
            : [
                ...(model.defaultRoute === undefined ? [] : ['route delete default']),
                ...(model.defaultRoute6 === undefined
                  ? []
                  : [`route delete default via ${uplinkPeer6[model.defaultRoute6]}`]),
              ],
        );
        return;
      case 'uplinks':
        return this.daemon.setUplinks(step.named ?? []);
      case 'blink':
        return await this.#operator.blink(step, model);
      case 'nft':
        return await this.#operator.nft(step.fault, await this.#look.snapshot());
      case 'dnsmasq': {
        const { dnsmasqs } = await this.#look.snapshot();
        for (const pid of dnsmasqs) process.kill(pid, 'SIGKILL');
        return;
      }
      case 'ovsdb':
        return await this.#switchThere.setServer(step.run, model.vswitchd, this.daemon);
      case 'vswitchd':
        return await this.#switchThere.setSwitch(step.run, model.ovsdb, this.daemon);
      case 'vifd':
        return await this.daemon.restart(step.how);
      case 'xenstored':
        this.#xenstoredStopped = !step.run;
        domnet.xenstored.signal(step.run ? 'SIGCONT' : 'SIGSTOP');
        return;
      case 'quiet':
        return;
    }
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
      await this.#operator.tryNft(`delete chain ${table} mine`);
      if (!needsTable(table, model)) await this.#operator.tryNft(`delete table ${table}`);
    }
    for (const vif of model.vifs) if (vif.present) await this.#dom0.go(vif.slot, [vif.name, wantedName(vif)]);
    for (const bridge of bridges) if (!model.bridges[bridge]) await this.#networks.makeBridge(bridge);
    for (const uplink of uplinks) {
      const { there, up, address } = model.uplinks[uplink];
      if (!there) await this.#networks.makeUplink(uplink);
      else {
        if (!up) await ipBatch(domnet.namespace, [`link set ${uplink} up`, address6On(uplink)]);
        if (!address) await domnet.ip(`address add ${uplinkAddress[uplink]}/24 dev ${uplink}`);
      }
    }
    await ipBatch(domnet.namespace, defaultBy('up0'));
    for (const name of Object.keys(model.foreign)) await domnet.ip(`link delete ${name}`);
    await this.daemon.end('terminate');
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
    await attempt(() => this.#parts?.daemon.end('kill'));
    // A daemon that was killed may have left its dnsmasq.
    await attempt(async () => {
      for (const pid of (await this.#eyes?.snapshot())?.dnsmasqs ?? []) process.kill(pid, 'SIGKILL');
    });
    await attempt(() => this.#eyes?.close());
    await attempt(() => this.#switch?.ovs.stop());
    await attempt(() => this.domnet.stop());
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be removed');
  }
}
