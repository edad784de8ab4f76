import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { getSystemErrorMap } from 'node:util';
import { startThread } from './native.js';

export { type Packet, sendPacket } from './packet.js';

/**
 * Default size of the receive buffer, in bytes. Memory is used only while messages wait; a notification of a link takes
 * about 4 KB of it, and a vif that joins a bridge causes some ten.
 */
const receiveBuffer = 16 << 20;

/** LARGEST of netlink-thread.c, in bytes. */
const largest = 256 << 10;

/** What Node reads of a stream at once, in bytes; libuv reads up to 32 times as much before anything else has its turn. */
const wholeChunk = 64 << 10;

/** NETLINK_ROUTE. */
const route = 0;

/**
 * A netlink socket that sends and receives datagrams. Events: `message` for each datagram, in the kernel's order;
 * `overflow` when the kernel dropped some, possibly answers among them; `lost` when the socket ended by itself.
 */
export class NetlinkSocket extends EventEmitter<{ message: [Buffer]; overflow: []; lost: [] }> {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #closed = false;

  /**
   * @param options.groups the numbers of the multicast groups to listen to, RTNLGRP_* for NETLINK_ROUTE
   * @param options.neighbours the protocol number (RTPROT_*) of the neighbour entries whose changes come as well; none by default. Of all
   * others none comes, which RTNLGRP_NEIGH is too many for: what a bridge learns is announced there, too
   * @param options.protocol NETLINK_ROUTE by default
   * @throws Error with the `code` of the failure when the kernel refuses the socket or a group
   */
  constructor(options: {
    groups: readonly number[];
    neighbours?: number | undefined;
    protocol?: number;
    receiveBuffer?: number;
  }) {
    super();
    const started = startThread(
      options.protocol ?? route,
      options.groups,
      options.neighbours ?? 0,
      options.receiveBuffer ?? receiveBuffer,
    );
    if ('errno' in started) {
      const [code, text] = getSystemErrorMap().get(-started.errno) ?? [`errno ${started.errno}`, ''];
      throw Object.assign(new Error(`open a netlink socket: ${text} (${code})`), { code });
    }
    this.#socket = new Socket({ fd: started.fd, readable: true, writable: true })
      .on('data', (chunk) => this.#receive(chunk))
      // 'close' follows, and emits `lost`.
      .on('error', () => {})
      .on('close', () => {
        if (!this.#closed) this.emit('lost');
      });
  }

  /** Sends one datagram to the kernel. @throws RangeError when it is larger than any request of netlink's */
  send(datagram: Uint8Array): void {
    if (datagram.length > largest) throw new RangeError(`a datagram of ${datagram.length} bytes`);
    const frame = Buffer.allocUnsafe(4 + datagram.length);
    frame.writeUInt32LE(datagram.length, 0);
    frame.set(datagram, 4);
    this.#socket.write(frame);
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    // More waits, as of a dump: others have their turn in between.
    if (chunk.length === wholeChunk) {
      this.#socket.pause();
      setImmediate(() => this.#socket.resume());
    }
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (!this.#closed && rest.length >= 4) {
      const end = 4 + rest.readUInt32LE(0);
      if (rest.length < end) break;
      if (end === 4) this.emit('overflow');
      else this.emit('message', rest.subarray(4, end));
      rest = rest.subarray(end);
    }
    this.#rest = rest;
  }
}
