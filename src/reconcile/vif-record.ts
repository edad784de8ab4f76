import type { HookEvent } from '../host/hooks.js';
import { formatNetwork, type Network } from '../vif/address.js';
import { bridgeOf, type DesiredState } from '../vif/desired.js';
import { type VifId, vifName } from '../vif/id.js';
import type { Link, Traffic } from '../vif/observed.js';
import type { ErrorKind, OperationError } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';

export type VifPhase = 'new' | 'waiting' | 'attached' | 'failed' | 'closing';

/** One vif as `vifd status` shows it. What is not known is null. */
export interface VifStatus {
  readonly vif: string;
  readonly domid: number;
  readonly devid: number;
  readonly state: VifPhase;
  /** When it came into that state, ISO 8601. */
  readonly since: string;
  readonly topology: string | null;
  readonly bridge: string | null;
  /** The netdev's name now, and its index; null while there is none. */
  readonly netdev: string | null;
  readonly ifindex: number | null;
  readonly mac: string | null;
  /** The guest's addresses: of its `ip` key, or else those that were chosen for it. */
  readonly ip: readonly string[];
  readonly mtu: number | null;
  /** From the event that made attaching possible to the status written, in ms. */
  readonly attachMs: number | null;
  /** Frames and packets of the guest that anti-spoofing dropped, by reason; empty when nothing is filtered. */
  readonly drops: Readonly<Record<string, number>>;
  /** What the netdev counted: `rx` is what the guest sent. Null while there is none. */
  readonly traffic: Traffic | null;
  readonly error: string | null;
  /** What the error is about, one of a few words. */
  readonly errorKind: ErrorKind | null;
}

/** What the daemon remembers of one vif between two looks at it. Nothing here outlives the process. */
export class VifRecord {
  readonly id: VifId;
  readonly name: string;
  phase: VifPhase = 'new';
  /** What xenstore said at the last look; current unless `stale`. */
  snapshot: VifSnapshot | undefined;
  stale = true;
  dependsOn: ReadonlySet<string> = new Set();
  problem: OperationError | undefined;
  /** What hooks were told of it, while it is attached. */
  told: HookEvent | undefined;
  /** What it was made when it was last attached, as JSON: where that is another now, a change is no repair. */
  wanted: string | undefined;
  attachMs: number | undefined;
  /** When the oldest event came that no look has answered yet (performance.now(), ms). */
  markedAt: number | undefined;
  /** The operation of others that is waited for, and since when. */
  waitingFor: { readonly what: string; readonly since: number } | undefined;
  /** When the attaching began which waits for others to finish. */
  attachingSince: number | undefined;
  /** Tries in a row that failed. */
  failures = 0;
  #since = new Date();
  #topology: string | undefined;
  #bridge: string | undefined;
  /** Those that the topology chose, or routes. */
  #addresses: readonly Network[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(id: VifId) {
    this.id = id;
    this.name = vifName(id);
  }

  /** Comes into a phase, or stays in it; whatever was wrong before is forgotten once it is attached. */
  enter(phase: VifPhase, desired?: DesiredState, topology?: string): void {
    if (this.phase !== phase) this.#since = new Date();
    this.phase = phase;
    // On its way out, or waiting for its netdev to come back, it is still what it was.
    if (phase === 'attached' || phase === 'failed') {
      this.#topology = topology;
      this.#bridge = desired && bridgeOf(desired);
      this.#addresses = desired?.ip?.routes.map(({ to }) => to) ?? [];
    }
    if (phase !== 'attached') return;
    this.problem = undefined;
    this.failures = 0;
  }

  status(link: Link | undefined, traffic: Traffic | undefined, drops: VifStatus['drops'] = {}): VifStatus {
    return {
      vif: this.name,
      ...this.id,
      state: this.phase,
      since: this.#since.toISOString(),
      topology: this.#topology ?? null,
      bridge: this.#bridge ?? null,
      netdev: link?.name ?? null,
      ifindex: link?.index ?? null,
      mac: this.snapshot?.mac ?? null,
      ip: (this.snapshot?.ip.length ? this.snapshot.ip : this.#addresses).map(formatNetwork),
      mtu: link?.mtu ?? null,
      attachMs: this.attachMs ?? null,
      drops,
      traffic: traffic ?? null,
      error: this.problem?.message ?? null,
      errorKind: this.problem?.kind ?? null,
    };
  }

  /** Calls back once, unless it is told to wake at another time, or never, before that. */
  wakeIn(ms: number, wake: () => void): void {
    this.sleep();
    this.#timer = setTimeout(wake, ms);
  }

  sleep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** What log lines about a vif carry. */
export const fields = ({ name, id }: VifRecord): { vif: string; domid: number; devid: number } => ({
  vif: name,
  ...id,
});
