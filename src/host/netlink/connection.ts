import { getSystemErrorMap } from 'node:util';
import { NetlinkSocket } from 'node-netlink';
import {
  type AttrStream,
  Flags,
  formatMessage,
  MessageType,
  type NetlinkMessage,
  Protocol,
  parseAttributes,
  parseError,
  parseMessages,
} from './format.js';

/** The errors that libuv has names for, by their negative numbers. Node makes a map of them at each call. */
let systemErrors: ReturnType<typeof getSystemErrorMap> | undefined;

/** A request the kernel refused; `code` is the errno's name. */
export class NetlinkError extends Error {
  readonly code: string;

  /** @param told the kernel's own words (extended acknowledgement) */
  constructor(errno: number, told?: string) {
    const number = Math.abs(errno);
    systemErrors ??= getSystemErrorMap();
    const [code, text] = systemErrors.get(-number) ??
      unmapped.get(number) ?? [`errno ${number}`, 'unknown error'];
    super(told === undefined ? `${text} (${code})` : `${told} (${code})`);
    this.name = 'NetlinkError';
    this.code = code;
  }
}

/** Errors that libuv has no name for; of these the kernel gives a bridge's 1,024th port the first (br_if.c). */
const unmapped: ReadonlyMap<number, readonly [string, string]> = new Map([
  [54, ['EXFULL', 'there is no room for one more; a bridge takes 1,023 ports']],
  [71, ['EPROTO', 'protocol error']],
  [74, ['EBADMSG', 'a message of the kernel cannot be read']],
  [75, ['EOVERFLOW', 'the value is too large']],
  [83, ['ELIBEXEC', 'the program cannot be run']],
  [85, ['ERESTART', 'interrupted']],
  [524, ['ENOTSUPP', 'the kernel or the driver does not support it']],
]);

/** Pauses in ms before everything is read again where that failed, doubled each time. */
const readAgainMs = { first: 1000, longest: 60_000 };

export interface NetlinkListener {
  /** Gets notifications and the rows of dumps in the kernel's order. */
  message(message: NetlinkMessage): void;
  /** Says that notifications were lost, so that everything has to be read again; called again where that fails. */
  overflow(): void | Promise<void>;
  /** Is told why a datagram, or everything after a loss, could not be read. */
  failed?(error: Error): void;
}

/** The requests of one datagram: a single one, or the last of several and the first. */
interface Request {
  readonly first: number;
  readonly seq: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * One netlink socket, rtnetlink's by default, for requests and notifications alike. The kernel queues the notifications
 * of a change before the acknowledgement of the request that made it, so the listener has them when a request resolves.
 * The npm library is used for message formats only: its request layer ends a dump at a notification in the middle of it,
 * and its socket ends the process when the receive buffer overflows. A datagram that cannot be decoded counts as one that
 * was lost: what is being read fails, and everything is read again.
 */
export class NetlinkConnection {
  readonly #socket: NetlinkSocket;
  readonly #listener: NetlinkListener;
  #seq = 0;
  #pending: Request | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;
  #pauseMs = readAgainMs.first;
  #timer: NodeJS.Timeout | undefined;
  /** How many readings of everything are under way, and whether something was cut meanwhile. */
  #readings = 0;
  #isMissed = false;
  /** The failure that was told last. */
  #told = '';

  /**
   * @param groups RTNLGRP_* numbers to listen to
   * @param options.neighbours the protocol number of the neighbour entries whose changes are listened to as well
   * @param options.protocol another family of netlink that keeps this order, such as nf_tables
   */
  constructor(
    groups: readonly number[],
    listener: NetlinkListener,
    { neighbours, protocol = Protocol.ROUTE }: { neighbours?: number; protocol?: Protocol } = {},
  ) {
    this.#listener = listener;
    this.#socket = new NetlinkSocket({ groups, neighbours, protocol })
      .on('message', (data) => this.#take(data))
      .on('overflow', () => this.#overflow())
      .on('lost', () => {
        this.close();
        // Without what is announced nothing can be observed; systemd restarts the process. One that only asks fails its request.
        if (groups.length > 0) throw new Error('the netlink socket ended');
      });
  }

  /**
   * Sends one request and waits for its end. Requests are sent one at a time: the kernel works synchronously, so sending
   * ahead gains nothing, and the notifications of a burst would overflow the receive buffer before they are read.
   * @throws NetlinkError
   */
  async request(type: number, flags: number, header: Buffer, attributes?: AttrStream): Promise<void> {
    await this.#send(type, flags, [[header, ...(attributes?.bufs ?? [])]]);
  }

  /**
   * Asks for objects by their keys, all in one datagram; those that are there go to the listener, those that are not are no error.
   * @param bodies a header and attributes for each
   * @throws NetlinkError
   */
  async ask(type: number, bodies: readonly (readonly Uint8Array[])[]): Promise<void> {
    if (bodies.length === 0) return;
    await this.#send(type, 0, bodies).catch((error: unknown) => {
      if (!isAbsence(error)) throw error;
    });
  }

  /**
   * Sends a request that deletes something. It succeeds also when the object is gone already, since the kernel deletes
   * routes, addresses and neighbour entries along with devices, and devices along with their drivers.
   * @throws NetlinkError
   */
  async remove(type: number, header: Buffer, attributes?: AttrStream): Promise<void> {
    await this.request(type, 0, header, attributes).catch((error: unknown) => {
      if (!isAbsence(error)) throw error;
    });
  }

  /** Requests a whole table; its rows go to the listener as they arrive. */
  dump(type: number, header: Buffer, attributes?: AttrStream): Promise<void> {
    return this.request(type, dumpFlag, header, attributes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#pending?.reject(new Error('the netlink socket was closed'));
  }

  /** Sends messages in one datagram when those before have ended; resolves with the acknowledgement of the last. */
  #send(type: number, flags: number, bodies: readonly (readonly Uint8Array[])[]): Promise<void> {
    const mine = this.#turn.then(() => this.#sendNow(type, flags, bodies));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  #sendNow(type: number, flags: number, bodies: readonly (readonly Uint8Array[])[]): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the netlink socket is closed'));
    const first = this.#seq + 1;
    this.#seq += bodies.length;
    const seq = this.#seq;
    const messages = bodies.flatMap((body, i) => {
      const acknowledged = first + i === seq ? Flags.ACK : 0;
      const header = { type, flags: flags | Flags.REQUEST | acknowledged, seq: first + i, port: 0 };
      const message = Buffer.concat(formatMessage({ ...header, data: [...body] }));
      // Each message begins at a multiple of 4 bytes (NLMSG_ALIGN).
      return [message, Buffer.alloc(-message.length & 3)];
    });
    return new Promise((resolve, reject) => {
      this.#pending = { first, seq, resolve, reject };
      this.#socket.send(Buffer.concat(messages));
    });
  }

  #receive(message: NetlinkMessage): void {
    if (message.type === MessageType.DONE) {
      this.#settle(message.seq, endOfDump(message));
    } else if (message.type === MessageType.ERROR) {
      const { errno } = parseError(message.data, message.flags);
      this.#settle(message.seq, errno === 0 ? undefined : new NetlinkError(errno, toldIn(message)));
    } else {
      this.#listener.message(message);
    }
  }

  #settle(seq: number, error: Error | undefined): void {
    const pending = this.#pending;
    if (pending === undefined || seq < pending.first || seq > pending.seq) return;
    // Of several that are asked for, what is not there ends nothing but its own message.
    if (seq < pending.seq && (error === undefined || isAbsence(error))) return;
    this.#pending = undefined;
    if (error) pending.reject(error);
    else pending.resolve();
  }

  #take(datagram: Buffer): void {
    try {
      for (const message of parseMessages(datagram)) this.#receive(message);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const failure = new NetlinkError(badMessage, `a datagram of ${datagram.length} bytes: ${reason}`);
      failure.cause = error;
      this.#tell(failure);
      if (this.#pending) this.#settle(this.#pending.seq, failure);
      // Without a pause a datagram that comes with each reading would have everything read for ever.
      if (this.#readings > 0) this.#isMissed = true;
      else if (this.#timer === undefined) this.#readAgain();
    }
  }

  /** Handles dropped messages (ENOBUFS): an acknowledgement may be among them, so the request under way fails. */
  #overflow(): void {
    if (this.#pending) this.#settle(this.#pending.seq, new NetlinkError(enobufs));
    this.#readAgain();
  }

  #readAgain(): void {
    this.#readings++;
    this.#isMissed = false;
    new Promise<void>((resolve) => resolve(this.#listener.overflow())).then(
      () => this.#wasRead(this.#isMissed),
      (error: Error) => {
        if (!this.#closed) this.#tell(error);
        this.#wasRead(true);
      },
    );
  }

  #wasRead(again: boolean): void {
    this.#readings--;
    if (!again) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#pauseMs = readAgainMs.first;
      this.#told = '';
    } else if (!this.#closed && this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#readAgain();
      }, this.#pauseMs).unref();
      this.#pauseMs = Math.min(2 * this.#pauseMs, readAgainMs.longest);
    }
  }

  /** Tells of a failure once until everything has been read. */
  #tell(error: Error): void {
    if (error.message !== this.#told) this.#listener.failed?.(error);
    this.#told = error.message;
  }
}

/** The error of a dump that ended early, which its last message carries (netlink_dump_done), or that was interrupted. */
function endOfDump({ data, flags }: NetlinkMessage): NetlinkError | undefined {
  const errno = data.length >= 4 ? data.readInt32LE(0) : 0;
  if (errno < 0) return new NetlinkError(errno);
  return flags & dumpInterrupted ? new NetlinkError(eintr) : undefined;
}

/** The kernel's words in an error, NLMSGERR_ATTR_MSG; undefined where it has none. The request's header precedes them. */
function toldIn({ data, flags }: NetlinkMessage): string | undefined {
  if (!(flags & hasAttributes)) return undefined;
  // Without NLM_F_CAPPED the whole request is there, and the attributes after it.
  const start = flags & capped ? 4 + 16 : 4 + data.readUInt32LE(4);
  let told: string | undefined;
  parseAttributes(data.subarray((start + 3) & ~3), ({ type, data: value }) => {
    if (type === attributeMessage) told = value.toString().replace(/\0$/, '');
  });
  return told;
}

/** NLM_F_CAPPED, NLM_F_ACK_TLVS and NLMSGERR_ATTR_MSG of linux/netlink.h. */
const capped = 0x100;
const hasAttributes = 0x200;
const attributeMessage = 1;

/** The errnos by which the kernel says that an object, a route, a device or an address to delete does not exist. */
const absences: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'ENODEV', 'ENXIO', 'EADDRNOTAVAIL']);

const isAbsence = (error: unknown): boolean => error instanceof NetlinkError && absences.has(error.code);

/** NLM_F_ROOT | NLM_F_MATCH. */
const dumpFlag = 0x300;
/** NLM_F_DUMP_INTR: the table changed while it was dumped. */
const dumpInterrupted = 0x10;
const eintr = 4;
const enobufs = 105;
const badMessage = 74;
