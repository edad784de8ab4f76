import type { Action } from '../../src/model/action.js';
import { type Dependency, type News, netdev } from '../../src/model/dependency.js';
import { type Link, type ObservedState, type Traffic, vifOfLink } from '../../src/model/observed.js';
import { ChangedMeanwhile, OperationError } from '../../src/model/operation-error.js';
import type { OvsView } from '../../src/model/ovs-port.js';
import type { DesiredScript, ScriptRun } from '../../src/model/script.js';
import { parseVifName, type VifId, vifName } from '../../src/model/vif-id.js';
import { printAction } from '../../src/plan/print/print.js';
import type { HostPort } from '../../src/reconcile/ports/ports.js';
import { Faults, type Held } from './faults.js';
import { Machine, type MachineState, type PlainLink, plainLinks } from './machine.js';

/** The actions that a fault applies to: a kind, or a pattern of the printed command, or a predicate. */
export type ActionMatch = Action['kind'] | RegExp | ((action: Action) => boolean);

/** The calls other than `perform` that can fail and hang. */
type Call = 'when-quiet' | 'refresh' | 'check-script' | 'drops';

/** The callbacks for changes, which the reconciler has. */
export interface HostListener {
  hostChanged(news: readonly News[], owners: readonly string[]): void;
  scriptEnded(id: VifId): void;
}

/**
 * A machine in memory behind the reconciler's interface. Changes are announced as the kernel announces them: during the
 * action that makes them, before it resolves.
 */
export class FakeHost implements HostPort {
  readonly machine: Machine;
  /** Called for each change. */
  listener: HostListener = { hostChanged: () => undefined, scriptEnded: () => undefined };
  /** The actions performed, also those that failed, in order. */
  readonly performed: Action[] = [];
  /** The kinds of dependencies that `startWatching` was called with. */
  readonly watched = new Set<Dependency['kind']>();
  /** The drops of filters, by the vif's name. */
  readonly dropped = new Map<string, Readonly<Record<string, number>>>();
  /** Calls of `refresh` so far. */
  refreshes = 0;
  /** For how many netdevs and vifs counters were read so far. */
  counted = 0;
  readonly #faults = new Faults<Action>();
  readonly #calls = new Faults<Call>();
  #ignored: ((action: Action) => boolean)[] = [];
  #nextIndex: number;

  constructor(state: MachineState) {
    this.machine = new Machine(state);
    this.#nextIndex = Math.max(0, ...state.links.map(({ index }) => index)) + 1;
  }

  /** The actions performed, also those that failed, as commands. */
  get commands(): string[] {
    return this.performed.map(printAction);
  }

  observe(): ObservedState {
    return this.machine.observe();
  }

  async perform(action: Action): Promise<void> {
    this.performed.push(action);
    await this.#faults.strike(action);
    const before = this.#namesOf(action);
    try {
      if (!this.#ignored.some((matches) => matches(action))) this.machine.perform(action);
    } catch (error) {
      if (error instanceof ChangedMeanwhile) throw error;
      throw refusal(action, (error as Error).message);
    }
    const names = [...new Set([...before, ...this.#namesOf(action)])];
    if (names.length > 0) this.listener.hostChanged(names.map(netdev), ownersOf(action));
    if (action.kind === 'delete-proxy')
      this.listener.hostChanged([{ kind: 'address', address: action.address.address }], []);
  }

  async whenQuiet(): Promise<void> {
    await this.#calls.strike('when-quiet');
  }

  frontendCame(id: VifId): void {
    this.machine.askMtuAgain(({ name }) => name === vifName(id));
  }

  async refresh(): Promise<void> {
    this.refreshes++;
    this.machine.askMtuAgain(() => true);
    await this.#calls.strike('refresh');
    this.listener.hostChanged([{ kind: 'anything' }], []);
  }

  vifsWithState(): VifId[] {
    const { links, nft, ip, openvswitch, scripts, namedSets } = this.machine;
    return [
      ...links.map(vifOfLink),
      ...[...(openvswitch?.ports() ?? [])].map(({ owner }) => parseVifName(owner ?? '')),
      ...[
        ...scripts.keys(),
        ...nft.owners(),
        ...namedSets.owners(),
        ...ip.routes.proxies().flatMap(({ owner }) => owner ?? []),
        ...ip.dhcp.keys(),
      ].map(parseVifName),
    ].filter((id) => id !== undefined);
  }

  startWatching(dependsOn: readonly Dependency[]): void {
    for (const { kind } of dependsOn) this.watched.add(kind);
  }

  async checkScript(_script: DesiredScript): Promise<void> {
    await this.#calls.strike('check-script');
  }

  traffic(): ReadonlyMap<string, Traffic> {
    const all = [...this.observe().links.all()];
    this.counted += all.length;
    return new Map(all.map(({ name }) => [name, someTraffic]));
  }

  async trafficOf(index: number): Promise<Traffic | undefined> {
    this.counted++;
    return [...this.observe().links.all()].some((link) => link.index === index) ? someTraffic : undefined;
  }

  async dropsOf(vif: string): Promise<Readonly<Record<string, number>> | undefined> {
    this.counted++;
    await this.#calls.strike('drops');
    return this.dropped.get(vif);
  }

  async drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
    this.counted += this.dropped.size;
    await this.#calls.strike('drops');
    return this.dropped;
  }

  /** Makes actions fail for this reason, or with this error. @returns a function that ends it */
  fail(which: ActionMatch, reason: string | (() => string) | Error, times?: number): () => void {
    const error = (action: Action): Error =>
      reason instanceof Error ? reason : refusal(action, typeof reason === 'string' ? reason : reason());
    return this.#faults.fail(matcher(which), error, times);
  }

  /** Holds the next such action before it is done. */
  hold(which: ActionMatch): Held {
    return this.#faults.hold(matcher(which));
  }

  /** Makes actions succeed without an effect, though a change is announced. @returns a function that ends it */
  ignore(which: ActionMatch): () => void {
    const matches = matcher(which);
    this.#ignored.push(matches);
    return () => {
      this.#ignored = this.#ignored.filter((other) => other !== matches);
    };
  }

  /** Makes a call other than `perform` fail. @returns a function that ends it */
  failCall(which: Call, error: Error, times?: number): () => void {
    return this.#calls.fail(
      (call) => call === which,
      () => error,
      times,
    );
  }

  /** Holds the next call other than `perform`. */
  holdCall(which: Call): Held {
    return this.#calls.hold((call) => call === which);
  }

  link(name: string): Link | undefined {
    return this.machine.links.find((link) => link.name === name);
  }

  /** Adds a netdev, with a new index. */
  add(link: PlainLink): Link {
    const master = link.master === undefined ? undefined : this.link(link.master)?.index;
    const { master: _, ...rest } = link;
    const [made] = plainLinks([{ index: this.#nextIndex++, ...rest }]);
    if (made === undefined) throw new Error('unreachable');
    this.machine.links.push({ ...made, master });
    this.changed(made.name);
    return made;
  }

  /** Changes a netdev as another program. */
  change(name: string, changes: Partial<Link>): void {
    const index = this.link(name)?.index;
    this.machine.links = this.machine.links.map((link) =>
      link.index === index ? { ...link, ...changes } : link,
    );
    if ('carrierSince' in changes) this.machine.askMtuAgain((link) => link.index === index);
    if (changes.up === false && index !== undefined) this.machine.ip.down(index);
    this.changed(...new Set([name, changes.name ?? name]));
  }

  /** Removes a netdev, with what is on it. */
  remove(name: string): void {
    const index = this.link(name)?.index;
    if (index === undefined) throw new Error(`there is no interface ${name}`);
    this.machine.links = this.machine.links
      .filter((link) => link.index !== index)
      .map((link) => (link.master === index ? { ...link, master: undefined, port: undefined } : link));
    this.machine.ip.down(index);
    this.changed(name);
  }

  /** Ends an operator's script. */
  endScript(id: VifId, state: 'online' | 'failed', reason?: string): void {
    const run = this.machine.scripts.get(vifName(id));
    if (run === undefined) throw new Error(`no script runs for ${vifName(id)}`);
    const ended: ScriptRun = { ...run, state, ...(reason === undefined ? {} : { reason }) };
    this.machine.scripts.set(vifName(id), ended);
    this.listener.scriptEnded(id);
  }

  /** Starts ovs-vswitchd, which takes up the ports. */
  takePorts(): void {
    const { openvswitch } = this.machine;
    openvswitch?.takeAll();
    const ports = [...(openvswitch?.ports() ?? [])];
    this.listener.hostChanged(
      ports.map(({ name }) => netdev(name)),
      ports.flatMap(({ owner }) => owner ?? []),
    );
  }

  /** Sets the state of Open vSwitch's database. */
  setDatabase(state: OvsView['state']): void {
    if (this.machine.openvswitch !== undefined) this.machine.openvswitch.state = state;
    this.listener.hostChanged([{ kind: 'openvswitch' }], []);
  }

  /** Announces a change. */
  changed(...names: string[]): void {
    this.listener.hostChanged(names.map(netdev), []);
  }

  /** The names under which an action is announced. */
  #namesOf(action: Action): string[] {
    switch (action.kind) {
      case 'set-sysctl':
        // RTM_NEWNETCONF; net/ipv4/conf/<device>/forwarding.
        return action.sysctl.name.split('/').slice(3, -1);
      case 'ovs-delete-port':
        return [action.port.name];
      case 'nft':
        return ownersOf(action);
      // The only one of these that is announced is a deleted proxy entry: neighbour entries are not followed, nor are masquerading and dnsmasq's files.
      case 'set-neighbour':
      case 'delete-neighbour':
      case 'set-proxy':
      case 'delete-proxy':
      case 'announce':
      case 'set-offload':
      case 'add-to-set':
      case 'delete-from-set':
        return [];
      default:
        if ('index' in action) {
          const link = this.machine.links.find(({ index }) => index === action.index);
          return link === undefined ? [] : [link.name];
        }
        return 'name' in action ? [action.name] : [];
    }
  }
}

const someTraffic: Traffic = {
  rxBytes: 1,
  rxPackets: 1,
  txBytes: 1,
  txPackets: 1,
  rxDropped: 0,
  txDropped: 0,
};

const refusal = (action: Action, reason: string): OperationError =>
  new OperationError('change-refused', 'run', printAction(action), reason, { waits: false });

/** The vifs that an action in nf_tables or Open vSwitch's database belongs to. */
function ownersOf(action: Action): string[] {
  const tells = action.kind === 'nft' || action.kind.startsWith('ovs-');
  return tells ? [...new Set(JSON.stringify(action).match(/vif\d+\.\d+/g) ?? [])] : [];
}

function matcher(which: ActionMatch): (action: Action) => boolean {
  if (typeof which === 'function') return which;
  return typeof which === 'string'
    ? ({ kind }) => kind === which
    : (action) => which.test(printAction(action));
}
