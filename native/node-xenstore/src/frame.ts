import { endianness } from 'node:os';

// Encodes and decodes the frames that xenstore-thread.c describes: 32 bit numbers in the machine's byte order, and strings
// that end with a NUL. Xen supports little-endian machines only.
if (endianness() !== 'LE') throw new Error('node-xenstore supports little-endian machines only');

/** Operations by number; the names are those that errors show. */
export const kinds = {
  read: 1,
  write: 2,
  mkdir: 3,
  rm: 4,
  directory: 5,
  readChildren: 6,
  getPermissions: 7,
  setPermissions: 8,
  domainPath: 9,
  watch: 10,
  unwatch: 11,
  expect: 12,
  transaction: 13,
  commit: 14,
  abort: 15,
} as const;

/** One operation of a request. Path and value are as libxenstore takes them. */
export interface Call {
  kind: keyof typeof kinds;
  path?: string;
  value?: Buffer;
}

/** One operation's outcome: an errno or 0, and the data. */
export interface Result {
  errno: number;
  data: Buffer;
}

const REQUEST = 20;
const OPERATION = 12;
const REPLY = 12;
const RESULT = 8;

/** Ids of frames that are not replies. */
export const EVENT = 0;
export const OPENED = 1;

const nothing = Buffer.alloc(0);

/**
 * The frame of a request.
 * @param transaction the id of a started transaction, or 0
 * @param attempts above 0: the calls are one transaction, attempted at most this often
 */
export function encode(id: number, calls: readonly Call[], transaction: number, attempts: number): Buffer {
  let size = REQUEST;
  // Paths are ASCII (see check.ts): a character is a byte.
  for (const { path = '', value = nothing } of calls) size += OPERATION + path.length + value.length + 2;
  const frame = Buffer.allocUnsafe(size);
  let at = 0;
  const number = (n: number) => {
    at = frame.writeUInt32LE(n, at);
  };
  for (const n of [size, id, transaction, attempts, calls.length]) number(n);
  for (const { kind, path = '', value = nothing } of calls) {
    for (const n of [kinds[kind], path.length, value.length]) number(n);
    at += frame.write(path, at, 'latin1');
    at = frame.writeUInt8(0, at);
    at += value.copy(frame, at);
    at = frame.writeUInt8(0, at);
  }
  return frame;
}

/** Splits the data from the socket, in chunks of any size, into frames. It throws where a frame is less than its own header. */
export class FrameReader {
  #rest: Buffer = nothing;

  *push(chunk: Buffer): Generator<Frame> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= REPLY) {
      const size = this.#rest.readUInt32LE(0);
      if (size < REPLY) throw new Error(`a frame of ${size} bytes`);
      if (this.#rest.length < size) return;
      const frame = this.#rest.subarray(0, size);
      this.#rest = this.#rest.subarray(size);
      yield new Frame(frame);
    }
  }
}

export class Frame {
  readonly id: number;
  /** The errno of the transaction as a whole, or of opening the connection; 0 for success. */
  readonly errno: number;
  readonly #body: Buffer;

  constructor(frame: Buffer) {
    this.id = frame.readUInt32LE(4);
    this.errno = frame.readUInt32LE(8);
    this.#body = frame.subarray(REPLY);
  }

  /** The results of a reply, in the order of the request's operations. */
  results(): Result[] {
    const results: Result[] = [];
    for (let at = 0; at < this.#body.length; ) {
      const end = at + RESULT + this.#body.readUInt32LE(at + 4);
      results.push({ errno: this.#body.readUInt32LE(at), data: this.#body.subarray(at + RESULT, end) });
      at = end;
    }
    return results;
  }

  /** The content of an event: the path that changed, and the token of its watch. */
  event(): { path: string; token: string } {
    const [path = '', token = ''] = strings(this.#body);
    return { path, token };
  }
}

/** The strings in data in which each ends with a NUL. */
export function strings(data: Buffer): string[] {
  return data.length === 0 ? [] : data.toString('utf8', 0, data.length - 1).split('\0');
}

/** The names and values in the data of `readChildren`. */
export function* entries(data: Buffer): Generator<[name: string, value: string]> {
  for (let at = 0; at < data.length; ) {
    const value = at + 8 + data.readUInt32LE(at);
    const end = value + data.readUInt32LE(at + 4);
    yield [data.toString('latin1', at + 8, value), data.toString('utf8', value, end)];
    at = end;
  }
}
