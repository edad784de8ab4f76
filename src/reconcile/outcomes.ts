import type { Backend } from '../host/backend.js';
import type { Events } from '../observe/events.js';
import type { VifId } from '../vif/id.js';
import type { OperationError } from '../vif/problem.js';
import { type Outcome, status } from '../vif/status.js';
import type { Announcer } from './announcer.js';
import type { VifRecord } from './vif-record.js';

/** First and longest pause between tries at what may pass by itself. */
const retryMs = { first: 500, longest: 60_000 };

/** What becomes of a vif after a look at it: kept in its record, told to dom0 and to people, and when to look again. */
export class Outcomes {
  readonly #backend: Backend;
  readonly #events: Events;
  readonly #announcer: Announcer;
  readonly #mark: (id: VifId, options?: { stale: boolean }) => void;

  constructor(parts: {
    backend: Backend;
    events: Events;
    announcer: Announcer;
    mark: (id: VifId, options?: { stale: boolean }) => void;
  }) {
    this.#backend = parts.backend;
    this.#events = parts.events;
    this.#announcer = parts.announcer;
    this.#mark = parts.mark;
  }

  /** It is not attached, for this reason; tried again by a timer unless it waits for a change. */
  async failed(record: VifRecord, error: OperationError): Promise<void> {
    if (record.problem?.message !== error.message) {
      this.#events.tell('failed', record.id, { error: error.message, errorKind: error.kind });
    }
    record.enter('failed');
    record.problem = error;
    this.#announcer.detached(record);
    if (error.waits) {
      record.failures = 0;
    } else {
      const pause = Math.min(retryMs.first * 2 ** record.failures, retryMs.longest);
      record.failures++;
      record.wakeIn(pause, () => this.#mark(record.id, { stale: true }));
    }
    await this.report(record, { kind: 'failed', problem: error });
  }

  /** Waits for what others have to do, and reports it as this problem when that takes longer than `patienceMs`. */
  async await(record: VifRecord, late: OperationError, patienceMs: number): Promise<void> {
    const now = performance.now();
    if (record.waitingFor?.what !== late.operation) record.waitingFor = { what: late.operation, since: now };
    const left = record.waitingFor.since + patienceMs - now;
    if (left <= 0) return await this.failed(record, late);
    if (record.phase !== 'failed') record.enter('waiting');
    record.wakeIn(left, () => this.#mark(record.id));
  }

  /**
   * Tells dom0, where xenstore does not say it already.
   * @returns false when the directory went meanwhile; then the vif is looked at again
   */
  async report(record: VifRecord, outcome: Outcome): Promise<boolean> {
    if (record.snapshot === undefined) return true;
    const writes = status(record.snapshot, outcome);
    if (Object.keys(writes.backend).length === 0 && writes.frontendMtu === undefined) return true;
    const written = await this.#backend.report(record.id, writes);
    if (!written) {
      this.#mark(record.id, { stale: true });
      return false;
    }
    const told = writes.backend;
    record.snapshot = {
      ...record.snapshot,
      ...('hotplug-status' in told ? { hotplugStatus: told['hotplug-status'] } : {}),
      ...('hotplug-error' in told ? { hotplugError: told['hotplug-error'] } : {}),
      ...(writes.frontendMtu === undefined ? {} : { frontendMtu: writes.frontendMtu }),
    };
    return true;
  }
}
