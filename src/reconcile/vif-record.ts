import { formatNetwork, type Network } from '../model/address.js';
import type { Block } from '../model/block.js';
import { type Attached, bridgeOf, type DesiredState, keptFrom } from '../model/desired.js';
import type { FilterSpec } from '../model/filter.js';
import { printForward } from '../model/forward.js';
import type { Holding } from '../model/holding.js';
import type { Link, Traffic } from '../model/observed.js';
import type { OperationError, Problem } from '../model/operation-error.js';
import type { DesiredScript } from '../model/script.js';
import type { LifeKey, VifSnapshot } from '../model/snapshot.js';
import { type VifId, vifName } from '../model/vif-id.js';
import type { VifPhase, VifStatus } from '../model/vif-status.js';
import { Often } from './often.js';
import type { Clock, HookEvent } from './ports/ports.js';

/** What is desired of an attached vif: by a topology, or by an operator's script. */
export type LastDesired =
  /** `closed`: the families that this machine forwards for vifd's sake, which other vifs change, too. */
  | (DesiredState & { readonly closed?: readonly (4 | 6)[] | undefined })
  | { readonly script: DesiredScript; readonly filter: FilterSpec | undefined; readonly blocked: boolean };

/** What the daemon remembers of one vif between two reconciliations. Nothing here outlives the process. */
export class VifRecord {
  readonly id: VifId;
  readonly name: string;
  phase: VifPhase = 'new';
  /** The keys read last; current unless `mustReread`, but for `changedKeys` and `ownKeys`. */
  snapshot: VifSnapshot | undefined;
  mustReread = true;
  /** The keys of its life that have changed since the keys were read. */
  readonly changedKeys = new Set<LifeKey>();
  /** Those of them that vifd writes itself, which are read with others or a little later. */
  readonly ownKeys = new Set<LifeKey>();
  problem: OperationError | undefined;
  /** What an attached vif lacks, as reported last. */
  problems: readonly Problem[] = [];
  /** The last event that hooks were called with; undefined while the vif is not attached. */
  lastHookEvent: HookEvent | undefined;
  /** What was desired when it was last attached: a change while this stays the same is a repair. */
  lastDesired: LastDesired | undefined;
  attachMs: number | undefined;
  /** When the oldest event came that no reconciliation has acknowledged (ms of the clock). */
  enqueuedAt: number | undefined;
  /** The operation that is waited for, and since when (ms of the clock). */
  waitingFor: { readonly what: string; readonly since: number } | undefined;
  /** When the attaching began that is not finished yet (ms of the clock). */
  attachingSince: number | undefined;
  /** Attempts in a row that failed. */
  failures = 0;
  /** Events of the host do not cause a reconciliation before this (ms of the clock). */
  notBefore = 0;
  /** Until when changes of its keys wait, by the clock. */
  readNotBefore = 0;
  readonly #readings = new Often(manyReadings);
  /** When the next retry is due (ms of the clock); in the past where none is. */
  retryAt = 0;
  /** What it was given when it was put on the network; undefined once it has been taken off, whatever failed meanwhile. */
  attached: Attached | undefined;
  /** What it is held to since it was attached; undefined before, and when that fails. */
  holding: Holding | undefined;
  /** Present while no frame of its card may pass. */
  block: Block | undefined;
  /**
   * Why the filter that only keeps control frames back was refused, and until when it is not tried again (ms of the clock):
   * the vif is on the network without it, as it is where the kernel has no nf_tables.
   */
  floorRefused: { readonly problem: OperationError; readonly until: number } | undefined;
  /** Called when a reconciliation has ended that observed everything up to now. */
  readonly reconciled: (() => void)[] = [];
  readonly #clock: Clock;
  #since: Date;
  #topology: string | undefined;
  #bridge: string | undefined;
  /** The addresses that the topology routes to the vif: shown where its keys have none. */
  #addresses: readonly Network[] = [];
  #forwards: readonly string[] = [];
  #keptFrom: readonly string[] = [];
  #standbyFor: readonly string[] = [];
  #sets: readonly string[] = [];
  #wake: { readonly at: number; readonly cancel: () => void } | undefined;
  /** When the host was changed for it, within the last `often.ms` (ms of the clock). */
  readonly #changes = new Often(manyChanges);

  constructor(id: VifId, clock: Clock) {
    this.id = id;
    this.name = vifName(id);
    this.#clock = clock;
    this.#since = clock.date();
  }

  /** Whether keys have changed since they were read. */
  get isStale(): boolean {
    return this.mustReread || this.changedKeys.size > 0;
  }

  /** Whether this daemon has not finished a reconciliation of the vif yet. */
  get isNew(): boolean {
    return this.phase === 'new';
  }

  /** Sets the phase; `attached` clears the problem and the count of failures. */
  enter(phase: VifPhase, desired?: DesiredState, topology?: string): void {
    if (this.phase !== phase) this.#since = this.#clock.date();
    this.phase = phase;
    // In the other phases `vifd status` goes on showing the last topology.
    if (phase === 'attached' || phase === 'failed') {
      this.#topology = topology;
      this.#bridge = desired && bridgeOf(desired);
      this.#keptFrom = desired ? keptFrom(desired) : [];
      this.#standbyFor = desired?.standbyFor ?? [];
      this.#sets = desired?.sets?.names ?? [];
      this.#forwards = desired?.ip?.ports?.map(printForward) ?? [];
      this.#addresses = desired?.ip?.routes.map(({ to }) => to) ?? [];
    }
    if (phase === 'failed') this.holding = undefined;
    if (phase !== 'attached') {
      this.problems = [];
      return;
    }
    this.attached = { addresses: desired?.link.addresses ?? [] };
    this.problem = undefined;
    this.failures = 0;
  }

  /** Its status as `vifd status` shows it. */
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
      group: link ? (link.group ?? 0) : null,
      sets: this.#sets,
      holding: this.holding ?? null,
      forwards: this.#forwards,
      keptFrom: this.#keptFrom,
      standbyFor: this.#standbyFor,
      blocked: this.block ? { since: this.block.since, by: this.block.by } : null,
      attachMs: this.attachMs ?? null,
      drops,
      traffic: traffic ?? null,
      missing: this.problems.map(({ message }) => message),
      problems: this.problems,
      error: this.problem?.message ?? null,
      errorKind: this.problem?.kind ?? null,
      errorCode: this.problem?.code ?? null,
    };
  }

  /** Calls back once in so many ms, unless an earlier call is set already; `sleep` cancels it. */
  wakeIn(ms: number, wake: () => void): void {
    const at = this.#clock.now() + ms;
    if (this.#wake !== undefined && this.#wake.at <= at) return;
    this.sleep();
    const cancel = this.#clock.after(ms, () => {
      this.#wake = undefined;
      wake();
    });
    this.#wake = { at, cancel };
  }

  /** Cancels the call that `wakeIn` has set. */
  sleep(): void {
    this.#wake?.cancel();
    this.#wake = undefined;
  }

  /**
   * Notes that its keys are read; where that happens too often, delays further readings. A guest makes netback write its state as
   * often as it likes, and would take a processor from those that forward packets.
   */
  read(): void {
    const now = this.#clock.now();
    if (this.#readings.again(now)) this.readNotBefore = now + manyReadings.pauseMs;
  }

  /**
   * Notes that the host was changed for the vif; where that happens too often, delays further reconciliations. Another
   * program undoes the changes then, and two that react to each other at once would take a processor each.
   */
  changed(): void {
    const now = this.#clock.now();
    if (this.#changes.again(now)) this.notBefore = Math.max(this.notBefore, now + manyChanges.pauseMs);
  }
}

/** After more than `most` changes in `ms`, `pauseMs` pass between two. */
const manyChanges = { most: 20, ms: 10_000, pauseMs: 1000 };
/** The same of readings of keys; a vif that comes or goes is read some ten times. */
const manyReadings = { most: 20, ms: 1000, pauseMs: 100 };

/** The fields of log lines about a vif. */
export const fields = ({ name, id }: VifRecord): { vif: string; domid: number; devid: number } => ({
  vif: name,
  ...id,
});
