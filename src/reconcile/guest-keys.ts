import { isDeepStrictEqual } from 'node:util';
import type { GuestKeys } from '../model/guest-keys.js';
import type { OperationError } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import type { BackendPort, Clock } from './ports/ports.js';
import type { VifRecord } from './vif-record.js';

/** First and longest pause before what xenstored refused is tried again, in ms: dom0 makes the directory when the guest is there. */
const retryMs = { first: 1000, longest: 60_000 };
/** After so many ms what is there is compared again, less than the pause between two periodic rounds. */
const lastingMs = 40_000;

interface Told {
  readonly keys: GuestKeys | undefined;
  /** Why xenstored refused them. */
  readonly problem: OperationError | undefined;
  readonly failures: number;
  /** When it is to be looked at again (ms of the clock). */
  readonly until: number;
}

/** What guests find of their vifs in xenstore, kept as it should be. */
export class GuestKeysKeeper {
  readonly #told = new WeakMap<VifRecord, Told>();
  readonly #backend: BackendPort;
  readonly #clock: Clock;
  readonly #enqueue: (record: VifRecord) => void;

  constructor(deps: { backend: BackendPort; clock: Clock; enqueue: (record: VifRecord) => void }) {
    this.#backend = deps.backend;
    this.#clock = deps.clock;
    this.#enqueue = deps.enqueue;
  }

  /**
   * Has the guest of a vif find these, or nothing. While no guest is told anything, no request is made.
   * @returns why it does not find them
   * @throws when xenstore is lost
   */
  async keep(
    record: VifRecord,
    keys: GuestKeys | undefined,
    { nat, route }: VifPolicy,
  ): Promise<OperationError | undefined> {
    const before = this.#told.get(record);
    if (before === undefined && !nat.guestKeys && !route.guestKeys) return undefined;
    const isSame = before !== undefined && isDeepStrictEqual(before.keys, keys);
    const isDone = isSame && (keys === undefined || this.#clock.now() < before.until);
    const told = isDone ? before : await this.#tell(record, keys, isSame ? before.failures : 0);
    if (told.problem !== undefined)
      record.wakeIn(Math.max(told.until - this.#clock.now(), 0), () => this.#enqueue(record));
    return told.problem;
  }

  async #tell(record: VifRecord, keys: GuestKeys | undefined, failures: number): Promise<Told> {
    const problem = await this.#backend.tellGuest(record.id, keys);
    const pause = problem ? Math.min(retryMs.first * 2 ** failures, retryMs.longest) : lastingMs;
    const until = this.#clock.now() + pause;
    const told: Told = { keys, problem, failures: problem ? failures + 1 : 0, until };
    this.#told.set(record, told);
    return told;
  }
}
