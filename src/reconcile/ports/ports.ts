import type { Action } from '../../model/action.js';
import type { Dependency } from '../../model/dependency.js';
import type { ErrorCode } from '../../model/error-codes.js';
import type { ObservedState, Traffic } from '../../model/observed.js';
import type { DesiredScript } from '../../model/script.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { StatusWrites } from '../../model/status-writes.js';
import type { EventDetail, EventKind } from '../../model/vif-event.js';
import type { VifId } from '../../model/vif-id.js';

// What the reconciler needs of the world. The daemon gives it the real ones, tests give it fakes.

/** The machine: what is on it, and the only way to change it. */
export interface HostPort {
  /** What is on the machine now, with all that vifd itself has changed. Costs nothing. */
  observe(): ObservedState;
  /** Performs one action. When it resolves, {@link observe} shows what it did. @throws OperationError */
  perform(action: Action): Promise<void>;
  /** Waits until changes of the links that the kernel is at have been observed. */
  whenQuiet(): Promise<void>;
  /** Reads again what the kernel does not announce, and has every vif looked at. */
  refresh(): Promise<void>;
  /** The vifs that something on the machine belongs to, known to xenstore or not. */
  vifsWithState(): VifId[];
  /** Begins to follow what verdicts depend on, where that is not done all the time. */
  startWatching(dependsOn: readonly Dependency[]): void;
  /** @throws OperationError when an operator's script may not be run */
  checkScript(script: DesiredScript): Promise<void>;
  /** What a netdev has counted; undefined when it is gone. */
  traffic(name: string): Traffic | undefined;
  /** The packets that each vif's filter dropped, by the vif's name and the reason. */
  drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>;
}

/** The backend directories of this domain in xenstore. */
export interface BackendPort {
  readonly requests: number;
  /** The vifs that have a directory, of one domain or of all. */
  list(domid?: number): Promise<VifId[]>;
  /** What xenstore says of a vif; undefined when its directory does not exist. */
  read(id: VifId): Promise<VifSnapshot | undefined>;
  /** Writes a status. @returns false when the directory was gone */
  report(id: VifId, writes: StatusWrites): Promise<boolean>;
  /** Deletes the directory of a vif which dom0 has taken away. */
  remove(id: VifId): Promise<void>;
  /** Whether an error says that xenstored is out of reach, or was started anew and is empty. */
  isLoss(error: unknown): boolean;
  /** What an error from here is called. */
  codeOf(error: unknown): ErrorCode;
}

/** What a hook reads on its stdin, as one line of JSON. What is not known, or not there, is null. */
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
}

/** The history of what happened to vifs, and the log. */
export interface EventsPort {
  tell(kind: EventKind, id: VifId, detail?: EventDetail): void;
}

/** Time, in ms, and what is to be done later. */
export interface Clock {
  now(): number;
  /** @returns what cancels it */
  after(ms: number, run: () => void): () => void;
}
