import type { Action } from '../../model/action.js';
import type { Block } from '../../model/block.js';
import type { Dependency } from '../../model/dependency.js';
import type { ErrorCode } from '../../model/error-codes.js';
import type { GuestKeys } from '../../model/guest-keys.js';
import type { ObservedState, Traffic } from '../../model/observed.js';
import type { OperationError } from '../../model/operation-error.js';
import type { DesiredScript } from '../../model/script.js';
import type { LifeKey, VifSnapshot } from '../../model/snapshot.js';
import type { StatusWrites } from '../../model/status-writes.js';
import type { EventDetail, EventKind } from '../../model/vif-event.js';
import type { VifId } from '../../model/vif-id.js';

// The interfaces that the reconciler needs. The daemon implements them with the host and xenstore, tests with fakes.

/** The machine: its observed state, and the only way to change it. */
export interface HostPort {
  /** The state of the machine now, with all that vifd itself has changed; from memory. */
  observe(): ObservedState;
  /** Performs one action. When it resolves, {@link observe} shows what it did. @throws OperationError */
  perform(action: Action): Promise<void>;
  /** Resolves when changes of links that are under way in the kernel have been observed. */
  whenQuiet(): Promise<void>;
  /** A vif's frontend has connected: what the netdev refused while it had another is asked of it again. */
  frontendCame(id: VifId): void;
  /** Reads again what the kernel does not announce, and has every vif reconciled. */
  refresh(): Promise<void>;
  /** The vifs that have state on the machine, such as a netdev, a route or a filter, whether xenstore has them or not. */
  vifsWithState(): VifId[];
  /** Begins to follow what a verdict depends on, where that is followed on demand, such as Open vSwitch's database. */
  startWatching(dependsOn: readonly Dependency[]): void;
  /** @throws OperationError when an operator's script may not be run */
  checkScript(script: DesiredScript): Promise<void>;
  /** The packet and byte counters of the netdevs, by their names. */
  traffic(): ReadonlyMap<string, Traffic>;
  /** Those of one netdev, by its index; undefined for one that is gone. */
  trafficOf(index: number): Promise<Traffic | undefined>;
  /** The packets that each vif's filter dropped, by the vif's name and the reason. */
  drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>;
  /** Those of one vif; undefined for one without a filter. */
  dropsOf(vif: string): Promise<Readonly<Record<string, number>> | undefined>;
}

/** What administrators have blocked. */
export interface BlocksPort {
  /** The block of a vif's network card; undefined where its frames may pass. */
  of(snapshot: VifSnapshot): Block | undefined;
}

/** The backend directories of this domain in xenstore. */
export interface BackendPort {
  /** Requests sent so far. */
  readonly requests: number;
  /** The vifs that have a directory, of one domain or of all. */
  list(domid?: number): Promise<VifId[]>;
  /** The keys of a vif; undefined when its directory does not exist. */
  read(id: VifId): Promise<VifSnapshot | undefined>;
  /** The keys of a vif of which nothing but these has changed since they were read. */
  readAgain(before: VifSnapshot, changed: ReadonlySet<LifeKey>): Promise<VifSnapshot | undefined>;
  /** Writes a status. @returns false when the directory was gone */
  report(id: VifId, writes: StatusWrites): Promise<boolean>;
  /**
   * Has a guest find what it may read of its vif, where dom0 has made a directory for that; undefined removes it, where it is.
   * @returns why that is not so; throws nothing but a loss
   */
  tellGuest(id: VifId, keys: GuestKeys | undefined): Promise<OperationError | undefined>;
  /** Deletes the directory of a vif which dom0 has taken away. */
  remove(id: VifId): Promise<void>;
  /** Whether an error means that xenstored is out of reach, or was started anew and is empty. */
  isLoss(error: unknown): boolean;
  /** The code of an error that a method here threw. */
  codeOf(error: unknown): ErrorCode;
}

/** The input of a hook on stdin, as one line of JSON; null for what is unknown or absent. */
export interface HookEvent {
  readonly event: 'attach' | 'update' | 'detach';
  readonly vif: string;
  readonly domid: number;
  readonly devid: number;
  readonly mac: string | null;
  readonly ip: readonly string[];
  readonly bridge: string | null;
  readonly topology: string;
  /** The interface's name: the vif's, or the one dom0 gave it. After a detach it may be gone. */
  readonly netdev: string;
  readonly mtu: number | null;
}

/** The operator's hooks. */
export interface HooksPort {
  call(event: HookEvent): void;
  /** Keeps an event as the last one of its vif, as {@link call} does, and calls nothing. */
  note(event: HookEvent): void;
  /** The last event of a vif that has had no `detach`, also from before the daemon started. */
  last(vif: string): HookEvent | undefined;
  /** The names of the vifs that have such an event. */
  vifs(): readonly string[];
}

/** The history of events, and the log. */
export interface EventsPort {
  tell(kind: EventKind, id: VifId, detail?: EventDetail): void;
}

/** A monotonic clock in ms, with timers. */
export interface Clock {
  now(): number;
  /** The time of day, for what people read. */
  date(): Date;
  /** Runs something once after `ms`. @returns a function that cancels it */
  after(ms: number, run: () => void): () => void;
}
