import type { Logger } from 'pino';
import type { Pending } from '../decide/readiness.js';
import { type Outcome, status } from '../decide/status.js';
import type { OperationError } from '../model/operation-error.js';
import type { Notifier } from './notifier.js';
import type { BackendPort, Clock, EventsPort } from './ports/ports.js';
import { fields, type VifRecord } from './vif-record.js';

/** First and longest pause between tries at what may pass by itself; events of the machine shorten it to `event`. */
const retryMs = { first: 500, longest: 60_000, event: 1000 };

/** What becomes of a vif after a look at it: kept in its record, told to dom0 and to people, and when to look again. */
export class StatusReporter {
  readonly #backend: BackendPort;
  readonly #events: EventsPort;
  readonly #notifier: Notifier;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #enqueue: (record: VifRecord, options?: { mustReread: boolean }) => void;

  /** @param parts.mark has the vif looked at again; `stale`: what xenstore says is to be read again first */
  constructor(deps: {
    backend: BackendPort;
    events: EventsPort;
    notifier: Notifier;
    clock: Clock;
    log: Logger;
    enqueue: (record: VifRecord, options?: { mustReread: boolean }) => void;
  }) {
    this.#backend = deps.backend;
    this.#events = deps.events;
    this.#notifier = deps.notifier;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#enqueue = deps.enqueue;
  }

  /**
   * It is not attached, for this reason; tried again by a timer unless it waits for a change, and where the reason
   * could not be written.
   * @throws when xenstore is lost
   */
  async failed(record: VifRecord, error: OperationError): Promise<void> {
    if (record.problem?.message !== error.message) {
      this.#events.tell('failed', record.id, {
        error: error.message,
        errorKind: error.kind,
        errorCode: error.code,
      });
    }
    record.enter('failed');
    record.problem = error;
    this.#notifier.detached(record);
    if (!error.waits) this.#retry(record);
    try {
      await this.write(record, { kind: 'failed', problem: error });
      if (error.waits) record.failures = 0;
    } catch (reportError) {
      if (this.#backend.isLoss(reportError)) throw reportError;
      this.#log.error({ ...fields(record), err: reportError }, 'vif status not written');
      if (error.waits) this.#retry(record);
    }
  }

  #retry(record: VifRecord): void {
    const now = this.#clock.now();
    const pause = Math.min(retryMs.first * 2 ** record.failures, retryMs.longest);
    record.failures++;
    // What has failed and what was tried in vain cause events of their own, which are no reason to try again at once.
    record.notBefore = now + Math.min(pause, retryMs.event);
    record.retryAt = now + pause;
    record.wakeIn(pause, () => this.#enqueue(record, { mustReread: true }));
  }

  /** Waits for what others have to do, and reports it as this problem when that takes longer than `patienceMs`. */
  async waitFor(record: VifRecord, late: OperationError, patienceMs: number): Promise<void> {
    if (this.#isLate(record, late, patienceMs)) return await this.failed(record, late);
    if (record.phase !== 'failed') record.enter('waiting');
  }

  /**
   * Tells what an attached vif lacks, where that is news; what others may still do in time is none before that.
   * @param patienceMs the time that others are given
   */
  lacks(record: VifRecord, missing: readonly Pending[], patienceMs: number): void {
    const patient = missing.find((lack) => lack.patient);
    if (patient === undefined) record.waitingFor = undefined;
    const late = missing.filter((lack) => !lack.patient || this.#isLate(record, lack.problem, patienceMs));
    const before = record.missing;
    record.missing = late.map(({ problem }) => problem.message);
    if (record.missing.join('\n') === before.join('\n')) return;
    if (record.missing.length > 0) this.#events.tell('degraded', record.id, { missing: record.missing });
    else this.#events.tell('recovered', record.id);
  }

  #isLate(record: VifRecord, { operation }: OperationError, patienceMs: number): boolean {
    const now = this.#clock.now();
    if (record.waitingFor?.what !== operation) record.waitingFor = { what: operation, since: now };
    const left = record.waitingFor.since + patienceMs - now;
    if (left > 0) record.wakeIn(left, () => this.#enqueue(record));
    return left <= 0;
  }

  /**
   * Tells dom0, where xenstore does not say it already.
   * @returns false when the directory went meanwhile; then the vif is looked at again
   */
  async write(record: VifRecord, outcome: Outcome): Promise<boolean> {
    if (record.snapshot === undefined) return true;
    const writes = status(record.snapshot, outcome);
    if (Object.keys(writes.backend).length === 0 && writes.frontendMtu === undefined) return true;
    const written = await this.#backend.report(record.id, writes);
    if (!written) {
      this.#enqueue(record, { mustReread: true });
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
