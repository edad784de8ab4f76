import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;

/** stdout or stderr, written to without ever waiting for its reader, and without an error when that is gone. */
export class Output {
  readonly #standard: number;
  #fd: number | undefined;
  #socket: Socket | undefined;
  /** The end of a line that has been written in part. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(fd: 1 | 2) {
    this.#standard = fd;
  }

  /** @returns false when the line was not taken */
  write(line: string): boolean {
    try {
      this.#fd ??= this.#open();
      if (this.#rest.length > 0) this.#rest = this.#put(this.#rest);
      if (this.#rest.length > 0) return false;
      const whole = Buffer.from(line);
      const rest = this.#put(whole);
      if (rest.length === whole.length) return false;
      this.#rest = rest;
      return true;
    } catch {
      return false;
    }
  }

  /** @returns what was not written. @throws EPIPE, ENOSPC and so on */
  #put(bytes: Buffer): Buffer {
    try {
      return bytes.subarray(writeSync(this.#fd ?? this.#standard, bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return bytes;
      throw error;
    }
  }

  /** The same pipe or terminal without blocking for this process alone: O_NONBLOCK would hold for all that share the descriptor. */
  #open(): number {
    // A file never blocks, and opened again it would have a position of its own.
    if (fstatSync(this.#standard).isFile()) return this.#standard;
    try {
      return openSync(`/proc/self/fd/${this.#standard}`, O_WRONLY | O_NOCTTY | O_NONBLOCK);
    } catch {
      return this.#takeSocket();
    }
  }

  /** A socket cannot be opened again (ENXIO); libuv sets O_NONBLOCK on one that it takes. Anything else is written to as it is. */
  #takeSocket(): number {
    try {
      this.#socket ??= new Socket({ fd: this.#standard, readable: false, writable: true });
      this.#socket.on('error', () => undefined).unref();
    } catch {
      // A terminal of another mount namespace, for one.
    }
    return this.#standard;
  }
}
