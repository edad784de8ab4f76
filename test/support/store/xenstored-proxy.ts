import { connect, createServer, type Server, type Socket } from 'node:net';

/** Types of requests and of an error's reply (xs_wire.h). */
export const xs = { transactionEnd: 7, write: 11, error: 16 } as const;

/** struct xsd_sockmsg: type, request, transaction, length, 32 bits each. */
const headerSize = 16;

/** What is done to the requests that pass. */
export interface Treatment {
  /** Before each answer, in ms. */
  readonly delayMs?: number;
  /** The error, such as `EACCES`, that a request of this type is answered with; it does not reach xenstored. */
  refuses?(type: number, payload: string): string | undefined;
}

/** A xenstored that is slow or refuses, between an agent and the real one. */
export class XenstoredProxy {
  treatment: Treatment = {};
  /** Requests that were refused so far. */
  refused = 0;
  /** Requests so far, refused ones too. */
  requests = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.#server = createServer(
      (client) => void connected(path).then((server) => this.#serve(client, server)),
    );
  }

  /** @param at the socket to listen at @param path xenstored's */
  static async start(at: string, path: string): Promise<XenstoredProxy> {
    const proxy = new XenstoredProxy(path);
    await new Promise<void>((resolve) => proxy.#server.listen(at, resolve));
    return proxy;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(client: Socket, server: Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => other.destroy());
    }
    messages(client, (message) => server.write(this.#treat(message, client)));
    messages(server, (message) => {
      const { delayMs } = this.treatment;
      if (delayMs === undefined) client.write(message);
      else setTimeout(() => client.write(message), delayMs);
    });
  }

  /** What xenstored gets for a request: itself, or nothing. */
  #treat(message: Buffer, client: Socket): Buffer {
    this.requests++;
    const type = message.readUInt32LE(0);
    const payload = message.subarray(headerSize).toString('latin1');
    const error = this.treatment.refuses?.(type, payload);
    if (error === undefined) return message;
    this.refused++;
    const words = Buffer.from(`${error}\0`);
    const reply = Buffer.concat([message.subarray(0, headerSize), words]);
    reply.writeUInt32LE(xs.error, 0);
    reply.writeUInt32LE(words.length, 12);
    client.write(reply);
    return Buffer.alloc(0);
  }
}

/** A connection to xenstored, whose queue for them holds one; a full one is EAGAIN. */
async function connected(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (isOpen) return socket;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Calls back with each whole message of a stream. */
function messages(socket: Socket, take: (message: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= headerSize) {
      const end = headerSize + rest.readUInt32LE(12);
      if (rest.length < end) break;
      take(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  });
}
