import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { JsonSplitter } from './json-splitter.js';

/** How long a reply may take, in ms, before the connection to a server that hangs is ended. */
const replyMs = 5000;

interface Request {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** One message of JSON-RPC 1.0, of either direction. */
interface Message {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** The result of one operation of a transaction; `rows` for a select. */
export interface OperationResult {
  readonly error?: string | null;
  readonly details?: string;
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
}

/** The notifications of an OVSDB server. */
export interface OvsdbListener {
  /** Called with the table updates of an `update` notification (RFC 7047, 4.1.6). */
  updated(updates: unknown): void;
  /** Called when a lock that was requested is granted (4.1.9). */
  locked(): void;
}

/**
 * A connection to an OVSDB server (RFC 7047). It answers the server's echo requests, without which the server would close
 * it. The server notifies the changes of a transaction before it replies.
 */
export class Ovsdb {
  /** Resolves with the reason when the connection has ended. */
  readonly ended: Promise<string>;
  readonly #socket: Socket;
  readonly #notified: OvsdbListener;
  readonly #requests = new Map<number, Request>();
  readonly #splitter = new JsonSplitter();
  #lastId = 0;
  #reason = 'the server closed the connection';

  private constructor(socket: Socket, notified: OvsdbListener) {
    this.#socket = socket;
    this.#notified = notified;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#end(error.message));
    this.ended = new Promise((resolve) => {
      socket.once('close', () => {
        for (const { reject, timer } of this.#requests.values()) {
          clearTimeout(timer);
          reject(new Error(this.#reason));
        }
        this.#requests.clear();
        resolve(this.#reason);
      });
    });
  }

  /**
   * @param path of the server's Unix socket
   * @param notified called for the server's notifications
   */
  static async connect(path: string, notified: OvsdbListener): Promise<Ovsdb> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Ovsdb(socket, notified);
  }

  /** Calls a method. @returns its result @throws when the server refuses, does not answer or goes away */
  request(method: string, params: readonly unknown[]): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error(this.#reason));
      const timer = setTimeout(() => this.#end(`no reply to ${method} within ${replyMs / 1000} s`), replyMs);
      this.#requests.set(id, { resolve, reject, timer });
      this.#socket.write(JSON.stringify({ method, params, id }));
    });
  }

  /**
   * Performs all operations (RFC 7047, 5.2), or none.
   * @returns their results, in order
   * @throws with the text of the first operation that fails
   */
  async transact(database: string, operations: readonly object[]): Promise<(OperationResult | null)[]> {
    const results = (await this.request('transact', [database, ...operations])) as (OperationResult | null)[];
    if (!Array.isArray(results)) throw new Error('the server answers a transaction with no results');
    // An error of the commit itself is one element more than there were operations.
    const failed = results.find((result) => result?.error != null);
    if (failed) throw new Error([failed.error, failed.details].filter(Boolean).join(': '));
    return results;
  }

  close(): void {
    this.#end('closed');
  }

  #end(reason: string): void {
    if (!this.#socket.destroyed) this.#reason = reason;
    this.#socket.destroy();
  }

  #take(text: string): void {
    try {
      for (const message of this.#splitter.push(text)) this.#receive(JSON.parse(message) as Message);
    } catch (error) {
      this.#end((error as Error).message);
    }
  }

  #receive({ id, method, params, result, error }: Message): void {
    if (method === 'echo') {
      this.#socket.write(JSON.stringify({ id, result: params, error: null }));
    } else if (method === 'update') {
      this.#notified.updated((params as unknown[])[1]);
    } else if (method === 'locked') {
      this.#notified.locked();
    } else if (typeof id === 'number') {
      const request = this.#requests.get(id);
      this.#requests.delete(id);
      clearTimeout(request?.timer);
      if (error == null) request?.resolve(result);
      else request?.reject(new Error(typeof error === 'string' ? error : JSON.stringify(error)));
    }
  }
}
