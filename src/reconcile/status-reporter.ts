import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Pending } from '../decide/readiness.js';
import { type Outcome, status } from '../decide/status.js';
import { type OperationError, problemOf } from '../model/operation-error.js';
import type { Notifier } from './notifier.js';
import type { BackendPort, Clock, EventsPort } from './ports/ports.js';
import { fields, type VifRecord } from './vif-record.js';

/** First and longest pause before a retry, in ms; an event of the host shortens it to `event`. */
const retryMs = { first: 500, longest: 60_000, event: 1000 };

/** Writes the outcome of a reconciliation to the vif's record, to xenstore and to the log, and sets the time of a retry. */
export class StatusReporter {
  readonly #backend: BackendPort;
  readonly #events: EventsPort;
  readonly #notifier: Notifier;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #enqueue: (record: VifRecord, options?: { mustReread: boolean }) => void;

  /** @param deps.enqueue has the vif reconciled again; with `mustReread` its keys are read again first */
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
   * Reports that a vif is not attached, for this reason. A timer retries unless `error.waits` for a change, and also where
   * the reason could not be written.
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
    if (!error.waits) this.retry(record);
    try {
      await this.write(record, { kind: 'failed', problem: error });
      if (error.waits) record.failures = 0;
    } catch (reportError) {
      if (this.#backend.isLoss(reportError)) throw reportError;
      this.#log.error({ ...fields(record), err: reportError }, 'vif status not written');
      if (error.waits) this.retry(record);
    }
  }

  /** Has the vif reconciled again after a pause, which is twice the one before until it is attached. */
  retry(record: VifRecord): void {
    const now = this.#clock.now();
    const pause = Math.min(retryMs.first * 2 ** record.failures, retryMs.longest);
    record.failures++;
    // A failed attempt causes events of its own, which must not cause the next attempt at once.
    record.notBefore = now + Math.min(pause, retryMs.event);
    record.retryAt = now + pause;
    record.wakeIn(pause, () => this.#enqueue(record, { mustReread: true }));
  }

  /** Sets the vif to waiting, and reports it as failed with this problem once it has waited for `timeoutMs`. */
  async waitFor(record: VifRecord, late: OperationError, timeoutMs: number): Promise<void> {
    if (this.#isLate(record, late, timeoutMs)) return await this.failed(record, late);
    if (record.phase !== 'failed') record.enter('waiting');
  }

  /**
   * Reports what an attached vif lacks, where that differs from the last report: `degraded`, or `recovered`.
   * @param timeoutMs how long ovs-vswitchd may take before a port that it has not taken up counts as missing
   */
  reportMissing(record: VifRecord, missing: readonly Pending[], timeoutMs: number): void {
    const patient = missing.find((lack) => lack.patient);
    if (patient === undefined) record.waitingFor = undefined;
    const late = missing.filter((lack) => !lack.patient || this.#isLate(record, lack.problem, timeoutMs));
    const before = record.problems;
    record.problems = late.map(({ problem }) => problemOf(problem));
    if (isDeepStrictEqual(record.problems, before)) return;
    if (record.problems.length === 0) {
      this.#events.tell('recovered', record.id);
      return;
    }
    this.#events.tell('degraded', record.id, {
      missing: record.problems.map(({ message }) => message),
      problems: record.problems.map((one) => ({
        ...one,
        isNew: !before.some(({ message }) => message === one.message),
      })),
    });
  }

  /** Whether an operation has been waited for longer than `timeoutMs`; sets a timer for that moment. */
  #isLate(record: VifRecord, { operation }: OperationError, timeoutMs: number): boolean {
    const now = this.#clock.now();
    if (record.waitingFor?.what !== operation) record.waitingFor = { what: operation, since: now };
    const left = record.waitingFor.since + timeoutMs - now;
    if (left > 0) record.wakeIn(left, () => this.#enqueue(record));
    return left <= 0;
  }

  /**
   * Writes an outcome to xenstore, where xenstore does not have it already.
   * @returns false when the backend directory was deleted meanwhile; then the vif is enqueued again
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
    const keys = writes.backend;
    record.snapshot = {
      ...record.snapshot,
      ...('hotplug-status' in keys ? { hotplugStatus: keys['hotplug-status'] } : {}),
      ...('hotplug-error' in keys ? { hotplugError: keys['hotplug-error'] } : {}),
      ...(writes.frontendMtu === undefined ? {} : { frontendMtu: writes.frontendMtu }),
    };
    return true;
  }
}
