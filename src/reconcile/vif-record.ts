import type { VifId } from '../vif/id.js';
import { vifName } from '../vif/id.js';
import type { OperationError } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';

export type VifPhase = 'new' | 'waiting' | 'attached' | 'failed' | 'closing';

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
  /** When the oldest event came that no look has answered yet (performance.now(), ms). */
  markedAt: number | undefined;
  /** When the wait for the netdev began. */
  waitingSince: number | undefined;
  /** Tries in a row that failed. */
  failures = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(id: VifId) {
    this.id = id;
    this.name = vifName(id);
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
