import { checkAttempts, checkDomid, checkPath, checkPayload } from './check.js';
import { Connection } from './connection.js';
import { failed, XenstoreError } from './error.js';
import type { Call } from './frame.js';
import { Operations, onlyResult, writeCall } from './operations.js';
import { Transaction } from './transaction.js';
import { Watch } from './watch.js';

/** An operation of Xenstore.commit. */
export type Operation =
  | { op: 'write'; path: string; value: string | Buffer }
  | { op: 'mkdir'; path: string }
  | { op: 'rm'; path: string }
  /** A condition: nothing is done when the path does not exist (ENOENT), or has another value than this (ESTALE). */
  | { op: 'expect'; path: string; value?: string | Buffer };

/** How often a transaction is attempted while others change the nodes it touched; by default 5 times. */
export interface Attempts {
  attempts?: number;
}

const ATTEMPTS = 5;

/**
 * A connection to xenstore.
 *
 * Requests are answered one after another, in the order in which they are made. When the connection is lost it emits
 * `lost`, once, and pending and later requests fail with ENOTCONN; whether a write or commit that failed so took effect is
 * unknown. An open connection keeps the process running, as a socket does.
 */
export class Xenstore extends Operations<{ lost: [XenstoreError] }> {
  readonly #watches = new Map<string, Watch>();
  #lastToken = 0;

  private constructor(connection: Connection) {
    super(connection, 0);
    connection.on('event', (path, token) => this.#watches.get(token)?.push(path));
    connection.on('end', (lost) => {
      const error = lost ? new XenstoreError('connection', undefined, 'ENOTCONN') : undefined;
      for (const watch of this.#watches.values()) watch.finish(error);
      this.#watches.clear();
      if (error) this.emit('lost', error);
    });
  }

  /**
   * Connects.
   * @param options.path the Unix socket of a xenstored. By default libxenstore looks for one: the environment's
   *   XENSTORED_PATH, `socket` in XENSTORED_RUNDIR or its built-in run directory, then the device /dev/xen/xenbus.
   *   libxenstore takes a path from the environment only, so a path given here is in XENSTORED_PATH while it connects.
   */
  static async open(options: { path?: string } = {}): Promise<Xenstore> {
    return new Xenstore(await Connection.open(options.path));
  }

  /** Requests sent so far, each one message to the thread with any number of operations. */
  get requests(): number {
    return this.connection.requests;
  }

  /** Writes all values in one transaction. */
  async writeMany(entries: Iterable<readonly [path: string, value: string | Buffer]>): Promise<void> {
    await this.commit(Array.from(entries, ([path, value]) => ({ op: 'write', path, value })));
  }

  /**
   * Performs all operations, in order, or none: one transaction in one request. Rejects with the error of the first
   * operation that fails, or with EAGAIN when other clients changed the same nodes during every attempt.
   */
  async commit(operations: readonly Operation[], options: Attempts = {}): Promise<void> {
    const attempts = options.attempts ?? ATTEMPTS;
    checkAttempts('commit', attempts);
    const calls = operations.map(call);
    if (calls.length === 0) return;
    // A single operation is atomic without a transaction, and takes one round trip instead of three.
    const frame = await this.connection.send(calls, 0, calls.length === 1 ? 0 : attempts);
    const results = frame.results();
    const at = results.findIndex(({ errno }) => errno !== 0);
    const refused = operations[at];
    if (refused) throw failed(refused.op, refused.path, results[at]?.errno ?? 0);
    if (frame.errno !== 0) throw failed('commit', undefined, frame.errno);
  }

  /**
   * Runs `body` in a transaction: begun before, committed after, aborted when `body` throws. When another client changed
   * the same nodes meanwhile, `body` is run again, and the promise rejects with EAGAIN after the last attempt. Each
   * operation is a request of its own, so prefer `commit` where it suffices.
   */
  async transaction<T>(body: (transaction: Transaction) => Promise<T>, options: Attempts = {}): Promise<T> {
    const attempts = options.attempts ?? ATTEMPTS;
    checkAttempts('transaction', attempts);
    for (let attempt = 1; ; attempt++) {
      const transaction = await Transaction.start(this.connection);
      let result: T;
      try {
        result = await body(transaction);
      } catch (error) {
        // The error of `body` is thrown, not one of the abort, which fails only when the connection is lost.
        await transaction.abort().catch(() => {});
        throw error;
      }
      try {
        await transaction.commit();
        return result;
      } catch (error) {
        if (!(error instanceof XenstoreError && error.code === 'EAGAIN') || attempt === attempts) throw error;
      }
    }
  }

  /**
   * Watches a path, which need not exist, and all below it; or `@introduceDomain` and `@releaseDomain`.
   * @param options.token comes with each event. It never leaves this process: any string will do, and any number of
   *   watches may have the same path and token.
   */
  async watch(path: string, options: { token?: string } = {}): Promise<Watch> {
    checkPath('watch', path);
    const token = String(++this.#lastToken);
    const value = Buffer.from(token);
    checkPayload('watch', path, value.length + 1);
    const watch = new Watch(path, options.token ?? '', async () => {
      this.#watches.delete(token);
      const { errno } = onlyResult(await this.connection.send([{ kind: 'unwatch', path, value }]));
      if (errno !== 0) throw failed('unwatch', path, errno);
    });
    // Before the request: the first event may come with the reply.
    this.#watches.set(token, watch);
    try {
      const { errno } = onlyResult(await this.connection.send([{ kind: 'watch', path, value }]));
      if (errno !== 0) throw failed('watch', path, errno);
    } catch (error) {
      this.#watches.delete(token);
      throw error;
    }
    return watch;
  }

  /** A domain's own directory, `/local/domain/<domid>`, whether or not there is such a domain. */
  async domainPath(domid: number): Promise<string> {
    checkDomid('domainPath', domid);
    const { errno, data } = onlyResult(
      await this.connection.send([{ kind: 'domainPath', path: String(domid) }]),
    );
    if (errno !== 0) throw failed('domainPath', String(domid), errno);
    return data.toString();
  }

  /**
   * Ends the connection at once, without a request to xenstored: pending requests fail with ENOTCONN, whether they took
   * effect or not. Watches end; xenstored removes them, and aborts transactions.
   */
  close(): Promise<void> {
    return this.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function call(operation: Operation): Call {
  const { op, path } = operation;
  switch (op) {
    case 'write':
      return writeCall(path, operation.value);
    case 'mkdir':
    case 'rm':
      checkPath(op, path);
      return { kind: op, path };
    case 'expect':
      checkPath(op, path);
      if (operation.value === undefined) return { kind: 'read', path };
      return { kind: 'expect', path, value: Buffer.from(operation.value) };
  }
}
