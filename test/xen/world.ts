import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Agent } from './agents.js';

/*
 * The machine the scenarios run on, seen from outside: commands in dom0, domnet and the guests, and two witnesses that
 * tell what happens while it happens. Neither of them runs in the agent, and each serves every agent alike.
 */

export const rigFile = new URL('rig', import.meta.url).pathname;
const commandMs = 240_000;
const bootMs = 900_000;

/** A `rig` command line: what it printed; an error carries what it wrote to stderr. */
export async function rig(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  try {
    const options = { env: { ...process.env, ...env }, maxBuffer: 64 << 20, timeout: commandMs };
    return (await promisify(execFile)(rigFile, args, options)).stdout;
  } catch (error) {
    const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: number };
    const said = `${stdout}${stderr}`.trim() || `exit ${code ?? 'by timeout'}`;
    throw new Error(`${args.slice(0, 2).join(' ').slice(0, 200)}: ${said}`, { cause: error });
  }
}

/** `rig up`, which may first build images; it says itself what it is at. */
export async function boot(xenstored: string): Promise<void> {
  const options = {
    env: { ...process.env, XENSTORED: xenstored },
    stdio: 'inherit',
    timeout: bootMs,
  } as const;
  const [code] = await once(spawn(rigFile, ['up'], options), 'exit');
  if (code !== 0) throw new Error('the machine did not boot');
}

interface Follower {
  stop(): void;
}

/** Lines of a command that runs on in a domain, until `stop`. */
function follow(domain: 'dom0' | 'domnet', command: string, line: (text: string) => void): Follower {
  // In a process group of its own, so that `rig` and its ssh end together.
  const child = spawn(rigFile, [domain, command], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  createInterface(child.stdout).on('line', line);
  return {
    stop() {
      const running = child.exitCode === null && child.signalCode === null;
      if (running && child.pid !== undefined) process.kill(-child.pid);
    },
  };
}

/**
 * One change of a path in xenstore; `value` is undefined when it went away, or was not asked for. Times are seconds of
 * Xen's clock.
 */
export interface StoreEvent {
  readonly at: number;
  readonly path: string;
  readonly value: string | undefined;
}

/**
 * xenstore's vif directories, back ends and front ends of all domains, as dom0 sees them, with their history. Of the
 * keys only those that `xenstore-events` reads.
 */
export class Store {
  readonly events: StoreEvent[] = [];
  readonly #values = new Map<string, string>();
  readonly #watcher: Follower;

  constructor() {
    this.#watcher = follow('dom0', 'xenstore-events', (line) => {
      const { at, path, value } = JSON.parse(line) as { at: number; path: string; value?: string | null };
      this.events.push({ at, path, value: value ?? undefined });
      if (typeof value === 'string') this.#values.set(path, value);
      else if (value === null) for (const key of this.under(path)) this.#values.delete(key);
    });
  }

  get(path: string): string | undefined {
    return this.#values.get(path);
  }

  /** The path and all below it. */
  under(path: string): string[] {
    return [...this.#values.keys()].filter((key) => key === path || key.startsWith(`${path}/`));
  }

  close(): void {
    this.#watcher.stop();
  }
}

/** When each netdev of domnet appeared, in seconds of Xen's clock, told by the kernel to `ip monitor`. */
export class Netdevs {
  readonly bornAt = new Map<string, number>();
  readonly #monitor: Follower;

  constructor() {
    // In front of everything else in domnet, so that a busy agent does not make its own start look late.
    this.#monitor = follow('domnet', 'TZ=UTC chrt -f 50 ip -ts -o monitor link', (line) => {
      const [, time, deleted, name] = /^\[(\S+)\] (Deleted )?\d+: ([^:@]+)/.exec(line) ?? [];
      if (time === undefined || name === undefined) return;
      if (deleted) this.bornAt.delete(name);
      else if (!this.bornAt.has(name)) this.bornAt.set(name, Date.parse(`${time.slice(0, 23)}Z`) / 1000);
    });
  }

  close(): void {
    this.#monitor.stop();
  }
}

/** An entry of domnet's journal; the kernel's have no unit. `priority` is syslog's. */
export interface JournalEntry {
  readonly unit: string | undefined;
  readonly priority: number;
  readonly message: string;
}

/** domnet's journal as it is written, its kernel's log among it. */
class Journal {
  readonly entries: JournalEntry[] = [];
  readonly #follower: Follower;

  constructor() {
    const fields = 'MESSAGE,PRIORITY,UNIT,_SYSTEMD_UNIT';
    const command = `journalctl -f --no-tail -o json --output-fields=${fields}`;
    this.#follower = follow('domnet', command, (line) => {
      const { MESSAGE, PRIORITY, UNIT, _SYSTEMD_UNIT } = JSON.parse(line) as Record<string, unknown>;
      // What systemd says of a unit counts as the unit's own.
      const unit = (UNIT ?? _SYSTEMD_UNIT) as string | undefined;
      // Bytes that are no text come as an array.
      if (typeof MESSAGE === 'string')
        this.entries.push({ unit, priority: Number(PRIORITY), message: MESSAGE });
    });
  }

  /** A command line for domnet which ends when all that was written before has been put into the journal, and then `mark`. */
  static sync = (mark: string): string => `journalctl --sync; logger ${mark}`;

  close(): void {
    this.#follower.stop();
  }
}

const packets = readFileSync(new URL('../support/packets.py', import.meta.url), 'utf8');

/** What arrives at a device in a network namespace of domnet, until `stop`; frames in hex. */
export class Capture {
  readonly frames: string[] = [];
  readonly #follower: Follower;

  private constructor(namespace: string, device: string) {
    const command = `ip netns exec ${namespace} python3 /root/packets.py capture ${device}`;
    this.#follower = follow('domnet', command, (line) => this.frames.push(line));
  }

  static async start(world: World, namespace: string, device: string): Promise<Capture> {
    await world.domnet(`cat >/root/packets.py <<'END'\n${packets}\nEND`);
    const capture = new Capture(namespace, device);
    await world.until('the capture to be ready', () => capture.frames.includes('ready'));
    return capture;
  }

  /** A short one may have been padded on its way. */
  saw(frame: Buffer): boolean {
    const hex = frame.toString('hex');
    return this.frames.some((came) => came.startsWith(hex));
  }

  stop(): void {
    this.#follower.stop();
  }
}

/** What `World.guest` takes. A vif is written as in xl.cfg, without the keys every vif here has (bridge and backend). */
export interface GuestOptions {
  readonly vifs?: readonly string[];
  readonly memory?: number;
  readonly type?: 'pv' | 'pvh';
  /** Built, never run: its front ends stay as xl makes them. */
  readonly paused?: boolean;
}

/** A vif for xl, with the keys all have here; one that is routed has no bridge. */
function vifSpec(vif: string, address: string): string {
  const given = vif.split(/,\s*/).filter((part) => part !== '');
  const has = (key: string) => given.some((part) => part.startsWith(`${key}=`));
  if (!has('bridge') && !/script=vif-(route|nat)/.test(vif)) given.push('bridge=xenbr0');
  if (!has('backend')) given.push('backend=domnet');
  return given.join(',').replace('@', address);
}

export class World {
  readonly store = new Store();
  #journal = new Journal();
  readonly agent: Agent;
  domnetId = 0;
  #guests = 0;
  #resident: Guest | undefined;
  /** There may be guests or vifs to end. */
  #inUse = true;
  #configured = false;
  #marks = 0;
  /** How much of the journal has been looked at: for complaints of the agent, and of the kernel. */
  #heard = 0;
  #kernelHeard = 0;
  readonly #left: string[] = [];

  private constructor(agent: Agent) {
    this.agent = agent;
  }

  /**
   * A world with `agent` running in it, no other agent, and no guest but the resident.
   * @param prepare puts the agent there; the resident boots meanwhile
   */
  static async open(agent: Agent, prepare?: () => Promise<void>): Promise<World> {
    const world = new World(agent);
    await world.findDomnet();
    await world.endGuests();
    if (prepare !== undefined) await Promise.all([prepare(), world.resident([])]);
    await world.clean();
    world.kernelTrouble();
    return world;
  }

  close(): void {
    this.store.close();
    this.#journal.close();
  }

  dom0(command: string): Promise<string> {
    return rig(['dom0', command]);
  }

  domnet(command: string): Promise<string> {
    return rig(['domnet', command]);
  }

  async findDomnet(): Promise<void> {
    this.domnetId = Number(await this.dom0('xl domid domnet'));
  }

  /** After domnet was rebooted: its id is another, and what watched it ended with it. */
  async domnetIsBack(): Promise<void> {
    await this.findDomnet();
    this.#journal.close();
    for (const end = Date.now() + 180_000; ; ) {
      const up = await rig(['domnet', 'systemctl is-system-running --wait; true']).catch(() => undefined);
      if (up !== undefined) break;
      if (Date.now() > end) throw new Error('domnet did not come back');
      await sleep(1000);
    }
    this.#journal = new Journal();
    this.#heard = 0;
    this.#kernelHeard = 0;
  }

  /** vifd's configuration, until the end of the scenario, applied by a reload. */
  async configure(toml: string): Promise<void> {
    this.#configured = true;
    await this.domnet(
      `cd /etc/vifd; [ -e rig.orig ] || cp vifd.toml rig.orig; cat >vifd.toml <<'END'\n${toml}\nEND\nsystemctl reload vifd`,
    );
  }

  /**
   * Boots a guest, and returns when `xl create` does. Its vifs are on xenbr0 unless they say otherwise; an `@` in one is
   * the guest's address on it.
   */
  async guest(options: GuestOptions = {}): Promise<Guest> {
    this.#inUse = true;
    const guest = new Guest(this, ++this.#guests);
    const vifs = (options.vifs ?? ['']).map((vif, devid) => vifSpec(vif, guest.address(devid)));
    const domid = await rig(['mkguest', guest.name, ...vifs], {
      GUEST_ADDRESS: guest.address(0),
      GUEST_MEMORY: `${options.memory ?? 160}`,
      GUEST_TYPE: options.type ?? 'pv',
      GUEST_PAUSED: options.paused ? '-p' : '',
    });
    guest.domid = Number(domid);
    return guest;
  }

  /**
   * The guest that outlives its scenario, for those to whom it does not matter how it began: hot-plugging vifs takes a
   * fifth of the time of a boot.
   */
  async resident(vifs: readonly string[] = ['']): Promise<Guest> {
    if (this.#resident === undefined) {
      this.#resident = await this.guest({ vifs: [] });
      await this.#resident.run('true');
    }
    for (const [devid, vif] of vifs.entries()) await this.attach(this.#resident, vif, devid);
    return this.#resident;
  }

  /** `xl network-attach` of the guest's vif `devid`; what it takes are words, where xl.cfg has commas. */
  async attach(guest: Guest, vif = '', devid = 0): Promise<void> {
    this.#inUse = true;
    const words = vifSpec(vif, guest.address(devid)).split(',');
    await this.dom0(`xl network-attach ${guest.name} ${words.map((word) => `'${word}'`).join(' ')}`);
  }

  /** Waits until `look` finds something in what the witnesses have seen; fails with `what` when it never does. */
  async until<T>(what: string, look: () => T | undefined | false, timeoutMs = 60_000): Promise<T> {
    for (const end = Date.now() + timeoutMs; ; ) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      if (Date.now() > end) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
      await sleep(20);
    }
  }

  /** The control group of the agent's unit, in domnet. */
  get cgroup(): string {
    return `/sys/fs/cgroup/system.slice/${this.agent.unit}`;
  }

  /** What nobody wants to see of what the agent's unit has written to the journal since this was asked last. */
  async complaints(): Promise<string[]> {
    const mark = this.#mark();
    await this.domnet(Journal.sync(mark));
    return await this.#complaintsUntil(mark);
  }

  async #complaintsUntil(mark: string): Promise<string[]> {
    const { entries } = this.#journal;
    await this.until('the journal', () => entries.some(({ message }) => message === mark));
    const { unit, complains } = this.agent;
    const heard = entries.slice(this.#heard).filter((entry) => entry.unit === unit);
    this.#heard = entries.length;
    return heard.filter((entry) => complains(entry.message, entry.priority)).map(({ message }) => message);
  }

  #mark = () => `mark-${process.pid}-${++this.#marks}`;

  /** What domnet's kernel has to say of itself that it never should; of what `complaints` has seen. */
  kernelTrouble(): string[] {
    const heard = this.#journal.entries.slice(this.#kernelHeard, this.#heard);
    this.#kernelHeard = this.#heard;
    return heard.map(({ message }) => message).filter((text) => /BUG:|Oops|Call Trace|WARNING:/.test(text));
  }

  /** What domnet's journal says like this, the kernel's log included, since the last look for complaints. */
  heard(pattern: RegExp): string[] {
    const since = this.#journal.entries.slice(this.#heard);
    return since.map(({ message }) => message).filter((message) => pattern.test(message));
  }

  /** Waits for domnet's journal to say this, if it has not since the last look for complaints. */
  told(pattern: RegExp): Promise<string> {
    return this.until(`the journal to say ${pattern}`, () => this.heard(pattern)[0]);
  }

  /** Seconds of the clock all domains share. */
  async now(): Promise<number> {
    return Number(await this.domnet('date +%s.%N'));
  }

  /**
   * Ends all guests, puts right what the last scenario left, and has the agent running.
   * @param spoilt nor is the resident fit for another scenario
   * @returns what was left though nothing should be, and what the agent has complained of, in words
   */
  async clean(spoilt = false): Promise<{ left: string[]; complaints: string[] }> {
    if (spoilt) {
      this.#resident = undefined;
      this.#inUse = true;
    }
    await this.endGuests();
    const restore = this.#configured
      ? 'cd /etc/vifd; mv rig.orig vifd.toml; systemctl reload vifd || systemctl start vifd'
      : ':';
    this.#configured = false;
    const mark = this.#mark();
    const links = await this.domnet(`${restore}
      ip -br link show | awk '$1 !~ /^(lo|eth0|xenbr0|ovs-system)$/ { print $1 }' | while read -r link; do echo $link; ip link del $link; done 2>/dev/null
      ${this.#scriptsEnd}; ${this.agent.start}; ${Journal.sync(mark)}`);
    return {
      left: [...this.#left.splice(0), ...words(links)],
      complaints: await this.#complaintsUntil(mark),
    };
  }

  /** Waits for the scripts the agent still has at work. */
  async scriptsEnded(): Promise<void> {
    await this.domnet(this.#scriptsEnd);
  }

  get #scriptsEnd(): string {
    return `for i in {1..100}; do [ "$(wc -l <${this.cgroup}/cgroup.procs)" -gt 1 ] || break; sleep 0.3; done`;
  }

  /**
   * Ends all guests but the resident, which loses its vifs. Those that xenstore still has afterwards are told by the
   * next `clean`.
   */
  async endGuests(): Promise<void> {
    if (!this.#inUse) return;
    this.#inUse = false;
    const backends = `/local/domain/${this.domnetId}/backend`;
    const stays = this.#resident?.name ?? 'none';
    const said = await this.dom0(`
        guests=$(xl list | awk 'NR > 1 && $2 > 0 && $1 != "domnet" { print $1, $2 }')
        for id in $(awk '$1 != "${stays}" { print $2 }' <<<"$guests"); do xl destroy $id >/dev/null 2>&1 & done; wait
        grep -q '^${stays} ' <<<"$guests" || gone=gone
        for n in $(xl network-list ${stays} 2>/dev/null | awk 'NR > 1 { print $1 }'); do
          xl network-detach ${stays} $n >/dev/null 2>&1 || { xl destroy ${stays}; gone=gone; break; }
        done
        for i in {1..5}; do left=$(xenstore-ls -f ${backends} 2>/dev/null | grep -oE '/vif/[0-9]+/[0-9]+ ') || break; sleep 0.2; done
        echo "$left $gone"; xenstore-rm ${backends} 2>/dev/null`);
    const left = words(said);
    if (left.at(-1) === 'gone') {
      left.pop();
      this.#resident = undefined;
    }
    this.#left.push(...left);
  }
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');

/** A guest, and where its vifs are seen from the three sides. */
export class Guest {
  readonly #world: World;
  readonly #number: number;
  readonly name: string;
  domid = 0;

  constructor(world: World, number: number) {
    this.#world = world;
    this.#number = number;
    this.name = `g${number}`;
  }

  /** What `netfront` gives to the interface of vif `devid`. */
  address(devid: number): string {
    return `10.9.${devid}.${10 + this.#number}`;
  }

  /** Reboot, restore and migration give the guest another id. */
  async findDomid(): Promise<void> {
    this.domid = Number(await this.#world.dom0(`xl domid ${this.name}`));
  }

  /** A command line in the guest's shell, through its console. The first one waits for the guest to have booted. */
  run(command: string): Promise<string> {
    return rig(['guest', `${this.domid}`, command]);
  }

  backend(devid: number): string {
    return `/local/domain/${this.#world.domnetId}/backend/vif/${this.domid}/${devid}`;
  }

  frontend(devid: number): string {
    return `/local/domain/${this.domid}/device/vif/${devid}`;
  }

  netdev(devid: number): string {
    return `vif${this.domid}.${devid}`;
  }

  status(devid: number): string | undefined {
    return this.#world.store.get(`${this.backend(devid)}/hotplug-status`);
  }

  /** Both ends are connected, as far as xenstore tells. */
  async connected(devids: readonly number[] = [0], timeoutMs = 60_000): Promise<void> {
    const { store } = this.#world;
    const missing = () =>
      devids.filter((n) => this.status(n) !== 'connected' || store.get(`${this.backend(n)}/state`) !== '4');
    await this.#world
      .until(this.name, () => missing().length === 0, timeoutMs)
      .catch(() => {
        const states = missing().map(
          (n) =>
            `${this.netdev(n)} (state ${store.get(`${this.backend(n)}/state`) ?? 'none'}, hotplug-status "${this.status(n) ?? ''}")`,
        );
        throw new Error(`not connected after ${timeoutMs / 1000} s: ${states.join(', ')}`);
      });
  }

  /**
   * The vifs work, from all three sides: xl in dom0 says so, in domnet the netdev is an active port of the bridge, and
   * from the guest every interface reaches it.
   * @param at.master `null` when the netdev is to be no port
   * @param at.peer who is to answer the guest
   */
  async works(
    devids: readonly number[] = [0],
    at: { master?: string | null; netdev?: string; peer?: string } = {},
  ): Promise<void> {
    await this.connected(devids);
    const [listed, links] = await Promise.all([
      this.#world.dom0(`xl network-list ${this.name}`),
      this.#world.domnet('ip -o link show'),
      this.reaches(devids, at),
    ]);
    for (const n of devids) {
      if (!new RegExp(`^${n}\\s+${this.#world.domnetId}\\s.*\\s4\\s`, 'm').test(listed)) {
        throw new Error(`xl network-list does not have vif ${n} connected:\n${listed}`);
      }
      const name = at.netdev ?? this.netdev(n);
      const link = links.split('\n').find((line) => line.includes(` ${name}: `)) ?? `no netdev ${name}`;
      const master = / master (\S+)/.exec(link)?.[1] ?? null;
      const wanted = at.master === undefined ? 'xenbr0' : at.master;
      if (!/<.*\bUP,LOWER_UP>/.test(link) || master !== wanted) throw new Error(link);
    }
  }

  /** Packets go from the guest to `peer`, by default the bridge, and back. */
  async reaches(
    devids: readonly number[] = [0],
    { peer, size = 56 }: { peer?: string; size?: number } = {},
  ): Promise<void> {
    const pings = devids.map(
      (n) =>
        `{ ping -q -c 2 -i 0.2 -W 3 -s ${size} -I eth${n} ${peer ?? `10.9.${n}.1`} || echo eth${n} FAILS; }`,
    );
    const said = await this.run(`netfront; ${pings.join('; ')}`);
    if (/FAILS|100% packet loss/.test(said))
      throw new Error(`no packets: ${said.trim().split('\n').slice(-6).join(' | ')}`);
  }

  /** Nothing is left of a vif: not in xenstore, not in domnet. */
  async gone(devids: readonly number[] = [0], timeoutMs = 20_000): Promise<void> {
    const { store } = this.#world;
    for (const n of devids) {
      const left = () => [...store.under(this.backend(n)), ...store.under(this.frontend(n))];
      await this.#world
        .until(this.netdev(n), () => left().length === 0, timeoutMs)
        .catch(() => Promise.reject(new Error(`still in xenstore: ${left().slice(0, 3).join(', ')}`)));
    }
    const links = await this.#world.domnet('ip -o link show');
    const left = devids.filter((n) => links.includes(` ${this.netdev(n)}: `));
    if (left.length > 0) throw new Error(`the netdevs of ${left.join(', ')} are still there`);
  }

  /** Pings all the time, every 50 ms, until the returned function is called: it fails when an answer is missing. */
  async traffic(): Promise<() => Promise<string>> {
    await this.run('pings 10.9.0.1 >/traffic 2>&1 & echo $! >/traffic.pid; sleep 1');
    return async () => {
      const said = await this.run('kill $(cat /traffic.pid); wait $(cat /traffic.pid); cat /traffic');
      const [, sent] = /(\d+) pings/.exec(said) ?? [];
      if (said.includes('lost') || !(Number(sent) > 20)) throw new Error(said.trim());
      return `none of ${sent} pings lost`;
    };
  }
}
