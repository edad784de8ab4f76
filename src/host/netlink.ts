import { getSystemErrorMap } from 'node:util';
import {
  type AttrStream,
  Flags,
  formatMessage,
  MessageType,
  type NetlinkMessage,
  Protocol,
  parseError,
  parseMessages,
  RawNetlinkSocket,
} from 'netlink';

/** A request the kernel refused; `code` is the errno's name. */
export class NetlinkError extends Error {
  readonly code: string;

  constructor(errno: number) {
    const [code, text] = getSystemErrorMap().get(-Math.abs(errno)) ?? [`E${errno}`, 'unknown error'];
    super(`${text} (${code})`);
    this.name = 'NetlinkError';
    this.code = code;
  }
}

interface Request {
  readonly seq: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * One rtnetlink socket for requests and notifications alike. The kernel queues the notifications of a change before
 * the acknowledgement of the request that made it, so whoever awaited a request has already been told what it changed.
 * The library's own request layer would not do: a notification in the middle of a dump ends the dump for it.
 */
export class RouteNetlink {
  readonly #socket: RawNetlinkSocket;
  readonly #listener: { message(message: NetlinkMessage): void; overflow(): void };
  #seq = 0;
  #pending: Request | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * @param groups RTNLGRP_* numbers to listen to
   * @param listener `message` gets notifications and the rows of dumps in the kernel's order; `overflow` says that
   *   notifications were lost, so that everything has to be read again
   */
  constructor(
    groups: readonly number[],
    listener: { message(message: NetlinkMessage): void; overflow(): void },
  ) {
    this.#listener = listener;
    this.#socket = new RawNetlinkSocket(Protocol.ROUTE);
    this.#socket.on('message', (data) => {
      for (const message of parseMessages(data)) this.#receive(message);
    });
    this.#socket.on('error', (error) => this.#fail(error));
    for (const group of groups) this.#socket.addMembership(group);
  }

  /**
   * Sends one request and waits for its end. One at a time: the kernel works synchronously, so sending ahead gains
   * nothing, and the notifications of a burst would overflow the receive buffer before anyone could read them.
   * @throws NetlinkError
   */
  async request(type: number, flags: number, header: Buffer, attributes?: AttrStream): Promise<void> {
    const mine = this.#turn.then(() => this.#send(type, flags, [header, ...(attributes?.bufs ?? [])]));
    this.#turn = mine.catch(() => undefined);
    await mine;
  }

  /** Asks for a whole table; its rows go to the listener as they come. */
  dump(type: number, header: Buffer): Promise<void> {
    return this.request(type, dumpFlag, header);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#pending?.reject(new Error('the netlink socket was closed'));
  }

  #send(type: number, flags: number, data: Uint8Array[]): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the netlink socket is closed'));
    const seq = ++this.#seq;
    return new Promise((resolve, reject) => {
      this.#pending = { seq, resolve, reject };
      const { port } = this.#socket.address();
      this.#socket.send(
        formatMessage({ type, flags: flags | Flags.REQUEST | Flags.ACK, seq, port, data }),
        {},
        (error) => {
          if (error) this.#settle(seq, error);
        },
      );
    });
  }

  #receive(message: NetlinkMessage): void {
    if (message.type === MessageType.DONE) {
      this.#settle(message.seq, message.flags & dumpInterrupted ? new NetlinkError(eintr) : undefined);
    } else if (message.type === MessageType.ERROR) {
      const { errno } = parseError(message.data, message.flags);
      this.#settle(message.seq, errno === 0 ? undefined : new NetlinkError(errno));
    } else {
      this.#listener.message(message);
    }
  }

  #settle(seq: number, error: Error | undefined): void {
    const pending = this.#pending;
    if (pending?.seq !== seq) return;
    this.#pending = undefined;
    if (error) pending.reject(error);
    else pending.resolve();
  }

  /** ENOBUFS: the kernel dropped messages for this socket, an acknowledgement perhaps among them. */
  #fail(error: Error): void {
    if (this.#pending) this.#settle(this.#pending.seq, error);
    this.#listener.overflow();
  }
}

/** NLM_F_ROOT | NLM_F_MATCH. */
const dumpFlag = 0x300;
/** NLM_F_DUMP_INTR: the table changed while it was dumped. */
const dumpInterrupted = 0x10;
const eintr = 4;
