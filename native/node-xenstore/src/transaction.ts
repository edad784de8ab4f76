import type { Connection } from './connection.js';
import { failed } from './error.js';
import { Operations, onlyResult } from './operations.js';

/** The operations inside of Xenstore.transaction: they see one state of the store, and take effect together or not. */
export class Transaction extends Operations<Record<never, never>> {
  readonly #id: number;

  private constructor(connection: Connection, id: number) {
    super(connection, id);
    this.#id = id;
  }

  /** @internal */
  static async start(connection: Connection): Promise<Transaction> {
    const { errno, data } = onlyResult(await connection.send([{ kind: 'transaction' }]));
    if (errno !== 0) throw failed('transaction', undefined, errno);
    return new Transaction(connection, data.readUInt32LE(0));
  }

  /** @internal Rejects with EAGAIN when another client changed the same nodes meanwhile. */
  async commit(): Promise<void> {
    const { errno } = onlyResult(await this.connection.send([{ kind: 'commit' }], this.#id));
    if (errno !== 0) throw failed('transaction', undefined, errno);
  }

  /** @internal */
  async abort(): Promise<void> {
    await this.connection.send([{ kind: 'abort' }], this.#id);
  }
}
