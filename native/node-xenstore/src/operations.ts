import { EventEmitter } from 'node:events';
import { checkDomid, checkPath, checkPayload } from './check.js';
import type { Connection } from './connection.js';
import { failed, XenstoreError } from './error.js';
import { type Call, entries, strings } from './frame.js';

/**
 * An access right to a node. The first of a node's permissions names its owner, which has every access; the `read` and
 * `write` of the first apply to every domain that no later one names.
 */
export interface Permission {
  domid: number;
  read: boolean;
  write: boolean;
}

/**
 * The operations on nodes, inside or outside of a transaction. A path that begins with `/` is absolute, any other is
 * relative to the caller's own `/local/domain/<domid>`. Every method rejects with a XenstoreError.
 */
export abstract class Operations<
  Events extends Record<keyof Events, unknown[]>,
> extends EventEmitter<Events> {
  /** @internal */
  protected readonly connection: Connection;
  readonly #transaction: number;

  /** @internal */
  protected constructor(connection: Connection, transaction: number) {
    super();
    this.connection = connection;
    this.#transaction = transaction;
  }

  /** The value of a node, as UTF-8. Rejects with ENOENT when there is none. */
  async read(path: string): Promise<string> {
    return (await this.#one({ kind: 'read', path })).toString();
  }

  /** The value of a node as bytes, which may include NULs. */
  async readBuffer(path: string): Promise<Buffer> {
    // Copied, because the original is a view of a chunk from the socket and would keep all of it in memory.
    return Buffer.from(await this.#one({ kind: 'read', path }));
  }

  /**
   * The values of a directory's children, in one request.
   * @param names the children to read, `colo_*` for all that begin so; by default all. Names that do not exist cost nothing, and are not in
   *   the result.
   * @returns undefined when the directory itself does not exist
   */
  async readChildren(path: string, names: Iterable<string> = []): Promise<Map<string, string> | undefined> {
    checkPath('readChildren', path);
    const wanted = [...names];
    for (const name of wanted) checkPath('readChildren', name.replace(/\*$/, ''));
    const value = Buffer.from(wanted.map((name) => `${name}\0`).join(''));
    const { errno, data } = await this.#result({ kind: 'readChildren', path, value });
    if (errno === 0) return new Map(entries(data));
    // With data, its name, it is the error of a child; the C side skips children that are gone.
    const child = data.length > 0 ? `${path === '/' ? '' : path}/${data}` : path;
    const error = failed('readChildren', child, errno);
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }

  /** Sets the value of a node; creates it and its parents when they are absent. */
  async write(path: string, value: string | Buffer): Promise<void> {
    await this.#one(writeCall(path, value));
  }

  /** The names of a node's children. Rejects with ENOENT when there is no such node. */
  async directory(path: string): Promise<string[]> {
    return strings(await this.#one({ kind: 'directory', path }));
  }

  /** Whether a node exists. Rejects when the caller may not read it. */
  async exists(path: string): Promise<boolean> {
    try {
      await this.#one({ kind: 'read', path });
      return true;
    } catch (error) {
      if (error instanceof XenstoreError && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Creates a node without value, and its parents; one that exists stays as it is. */
  async mkdir(path: string): Promise<void> {
    await this.#one({ kind: 'mkdir', path });
  }

  /**
   * Removes a node and everything below. A node that does not exist is no error if its parent exists; without a parent it
   * rejects with ENOENT.
   */
  async rm(path: string): Promise<void> {
    await this.#one({ kind: 'rm', path });
  }

  async getPermissions(path: string): Promise<Permission[]> {
    const data = await this.#one({ kind: 'getPermissions', path });
    const numbers = Array.from({ length: data.length / 4 }, (_, i) => data.readUInt32LE(4 * i));
    const permissions: Permission[] = [];
    for (let i = 0; i + 1 < numbers.length; i += 2) {
      const flags = numbers[i + 1] as number;
      permissions.push({ domid: numbers[i] as number, read: (flags & 1) !== 0, write: (flags & 2) !== 0 });
    }
    return permissions;
  }

  /** Sets the permissions of a node. Only its owner and dom0 may do so, and only dom0 may change the owner. */
  async setPermissions(path: string, permissions: readonly Permission[]): Promise<void> {
    const value = Buffer.alloc(8 * permissions.length);
    for (const [i, { domid, read, write }] of permissions.entries()) {
      checkDomid('setPermissions', domid);
      value.writeUInt32LE(domid, 8 * i);
      value.writeUInt32LE((read ? 1 : 0) | (write ? 2 : 0), 8 * i + 4);
    }
    checkPath('setPermissions', path);
    // In the protocol each is a letter, the domid and a NUL, such as "r5".
    checkPayload('setPermissions', path, permissions.map(({ domid }) => `r${domid}.`).join('').length);
    await this.#one({ kind: 'setPermissions', path, value });
  }

  async #one(call: Call & { path: string }): Promise<Buffer> {
    checkPath(call.kind, call.path);
    const { errno, data } = await this.#result(call);
    if (errno !== 0) throw failed(call.kind, call.path, errno);
    return data;
  }

  async #result(call: Call) {
    return onlyResult(await this.connection.send([call], this.#transaction));
  }
}

export function onlyResult(frame: Awaited<ReturnType<Connection['send']>>) {
  const [result] = frame.results();
  if (!result) throw new Error('a reply without result');
  return result;
}

export function writeCall(path: string, value: string | Buffer): Call & { path: string; value: Buffer } {
  checkPath('write', path);
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  checkPayload('write', path, bytes.length);
  return { kind: 'write', path, value: bytes };
}
