import { EventEmitter, once } from 'node:events';
import { Socket } from 'node:net';
import { failed, XenstoreError } from './error.js';
import { type Call, EVENT, encode, type Frame, FrameReader, OPENED } from './frame.js';
import { startThread } from './native.js';

interface Pending {
  calls: readonly Call[];
  resolve: (frame: Frame) => void;
  reject: (error: XenstoreError) => void;
}

/**
 * The socket to one thread of xenstore-thread.c: requests out, replies in the same order, and events in between. When it
 * ends, on either side, pending and later requests fail with ENOTCONN.
 */
export class Connection extends EventEmitter<{ event: [path: string, token: string]; end: [lost: boolean] }> {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #lastId = OPENED;
  #sent = 0;
  #ended: 'open' | 'lost' | 'closed' = 'open';

  private constructor(fd: number) {
    super();
    const reader = new FrameReader();
    this.#socket = new Socket({ fd, readable: true, writable: true })
      .on('data', (chunk) => {
        try {
          for (const frame of reader.push(chunk)) this.#receive(frame);
        } catch (error) {
          // What follows cannot be told apart any more; the connection is lost, and its user opens another.
          this.#socket.destroy(error as Error);
        }
      })
      // The thread is gone, or cannot be understood; 'close' follows, and emits `end`.
      .on('error', () => {})
      .on('close', () => this.#end('lost'));
  }

  /** Opens a connection; resolves when xs_open has succeeded. */
  static async open(path: string | undefined): Promise<Connection> {
    const started = startThread(path ?? null);
    if ('errno' in started) throw failed('open', path, started.errno);
    const connection = new Connection(started.fd);
    const opened = await new Promise<Frame>((resolve, reject) => {
      connection.#pending.set(OPENED, { calls: [], resolve, reject });
    });
    if (opened.errno === 0) return connection;
    await connection.close();
    throw failed('open', path, opened.errno, 'xenstored cannot be reached');
  }

  /** Sends the calls as one request; see `encode`. */
  send(calls: readonly Call[], transaction = 0, attempts = 0): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== 'open') {
        reject(this.#notConnected(calls));
        return;
      }
      this.#lastId = this.#lastId === 0xffffffff ? OPENED + 1 : this.#lastId + 1;
      this.#pending.set(this.#lastId, { calls, resolve, reject });
      this.#sent++;
      this.#socket.write(encode(this.#lastId, calls, transaction, attempts));
    });
  }

  /** Requests sent so far. */
  get requests(): number {
    return this.#sent;
  }

  /** Resolves when Node's end of the socket is closed; the thread ends when its call to xenstored returns. */
  async close(): Promise<void> {
    this.#end('closed');
    if (this.#socket.closed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.destroy();
    await closed;
  }

  #receive(frame: Frame): void {
    if (frame.id === EVENT) {
      const { path, token } = frame.event();
      this.emit('event', path, token);
      return;
    }
    const pending = this.#pending.get(frame.id);
    this.#pending.delete(frame.id);
    pending?.resolve(frame);
  }

  #end(how: 'lost' | 'closed'): void {
    if (this.#ended !== 'open') return;
    this.#ended = how;
    for (const { calls, reject } of this.#pending.values()) reject(this.#notConnected(calls));
    this.#pending.clear();
    this.emit('end', how === 'lost');
  }

  #notConnected(calls: readonly Call[]): XenstoreError {
    const [call] = calls;
    const options = this.#ended === 'closed' ? { cause: 'the connection is closed' } : {};
    return new XenstoreError(call?.kind ?? 'open', call?.path, 'ENOTCONN', options);
  }
}
