import { formatNetwork, type Network } from '../model/address.js';
import { Dependencies } from '../model/dependency.js';
import { bridgeOf, type DesiredState } from '../model/desired.js';
import type { Link, Traffic } from '../model/observed.js';
import type { OperationError } from '../model/operation-error.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { type VifId, vifName } from '../model/vif-id.js';
import type { VifPhase, VifStatus } from '../model/vif-status.js';
import type { Clock, HookEvent } from './ports/ports.js';

/** What the daemon remembers of one vif between two looks at it. Nothing here outlives the process. */
export class VifRecord {
  readonly id: VifId;
  readonly name: string;
  phase: VifPhase = 'new';
  /** What xenstore said at the last look; current unless `mustReread`. */
  snapshot: VifSnapshot | undefined;
  mustReread = true;
  dependsOn = new Dependencies();
  problem: OperationError | undefined;
  /** What an attached vif lacks, as it was told last, a sentence each. */
  missing: readonly string[] = [];
  /** The last event that hooks were told of it, while it is attached. */
  lastHookEvent: HookEvent | undefined;
  /** What it was made when it was last attached: where that is another now, a change is no repair. */
  lastDesired: object | undefined;
  attachMs: number | undefined;
  /** When the oldest event came that no look has answered yet (ms of the clock). */
  enqueuedAt: number | undefined;
  /** The operation of others that is waited for, and since when. */
  waitingFor: { readonly what: string; readonly since: number } | undefined;
  /** When the attaching began which waits for others to finish. */
  attachingSince: number | undefined;
  /** Tries in a row that failed. */
  failures = 0;
  /** Events of the machine do not cause a look before this (ms of the clock). */
  notBefore = 0;
  /** When the next try of what failed is due (ms of the clock); in the past where none is. */
  retryAt = 0;
  /** It was put on the network and has not been taken off since, whatever failed meanwhile. */
  isAttached = false;
  readonly #clock: Clock;
  #since = new Date();
  #topology: string | undefined;
  #bridge: string | undefined;
  /** Those that the topology chose, or routes. */
  #addresses: readonly Network[] = [];
  #wake: { readonly at: number; readonly cancel: () => void } | undefined;
  /** When the machine was changed for it lately. */
  #changes: number[] = [];

  constructor(id: VifId, clock: Clock) {
    this.id = id;
    this.name = vifName(id);
    this.#clock = clock;
  }

  /** This daemon has not dealt with the vif before. */
  get isNew(): boolean {
    return this.phase === 'new';
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
    if (phase !== 'attached') {
      this.missing = [];
      return;
    }
    this.isAttached = true;
    this.problem = undefined;
    this.failures = 0;
  }

  /** What `vifd status` shows of it. */
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
      missing: this.missing,
      error: this.problem?.message ?? null,
      errorKind: this.problem?.kind ?? null,
      errorCode: this.problem?.code ?? null,
    };
  }

  /** Calls back once in so many ms, unless an earlier call is due or it is put to sleep before that. */
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

  sleep(): void {
    this.#wake?.cancel();
    this.#wake = undefined;
  }

  /**
   * Notes that the machine was changed for it, and holds further looks back where that happens again and again: another
   * program undoes what we do, and two that answer each other at once would take a processor each.
   */
  changed(): void {
    const now = this.#clock.now();
    this.#changes = [...this.#changes.filter((at) => now - at < often.ms), now];
    if (this.#changes.length > often.changes) this.notBefore = Math.max(this.notBefore, now + often.pauseMs);
  }
}

/** More changes of the machine than this in so many ms are a quarrel with another program; then a pause between two. */
const often = { changes: 20, ms: 10_000, pauseMs: 1000 };

/** What log lines about a vif carry. */
export const fields = ({ name, id }: VifRecord): { vif: string; domid: number; devid: number } => ({
  vif: name,
  ...id,
});
