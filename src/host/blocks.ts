import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Block, blockKey } from '../model/block.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { parseVifName, vifName } from '../model/vif-id.js';

/** The blocked network cards: a file each in a directory, named by {@link blockKey}. A card is blocked while its file is there. */
export class Blocks {
  readonly #directory: string;
  readonly #blocks: Map<string, Block>;

  private constructor(directory: string, blocks: Map<string, Block>) {
    this.#directory = directory;
    this.#blocks = blocks;
  }

  /** @throws when the directory is there and cannot be read: what is blocked is not known then */
  static open(directory: string): Blocks {
    const names = namesIn(directory).filter((name) => !name.startsWith('.'));
    return new Blocks(directory, new Map(names.map((name) => [name, readBlock(directory, name)])));
  }

  of(snapshot: VifSnapshot): Block | undefined {
    return this.#blocks.get(blockKey(snapshot));
  }

  /** Blocks a card; on the disk when it returns. */
  add(snapshot: VifSnapshot, block: Block): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const key = blockKey(snapshot);
    const part = join(this.#directory, `.${key}`);
    const file = openSync(part, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(block)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(part, join(this.#directory, key));
    this.#sync();
    this.#blocks.set(key, block);
  }

  /** Ends a block by its key; off the disk when it returns. */
  delete(key: string): void {
    rmSync(join(this.#directory, key), { force: true });
    this.#sync();
    this.#blocks.delete(key);
  }

  /** The keys of the blocks that a vif's name or a MAC address means where no vif has them. */
  named(name: string): string[] {
    return [...this.#blocks]
      .filter(([key, { vif }]) => vif === name || key.startsWith(`${name}_`))
      .map(([key]) => key);
  }

  all(): ReadonlyMap<string, Block> {
    return this.#blocks;
  }

  /** Has the directory's entries on the disk. */
  #sync(): void {
    const directory = openSync(this.#directory, 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new Error(`${directory}, which says what is blocked, cannot be read: ${(error as Error).message}`);
  }
}

/** What a file tells of its block; one that says nothing, as after a full disk, blocks as well. */
function readBlock(directory: string, name: string): Block {
  try {
    const { vif, since, by } = JSON.parse(readFileSync(join(directory, name), 'utf8')) as Block;
    if (typeof vif === 'string' && typeof since === 'string' && typeof by === 'string')
      return { vif, since, by };
  } catch {
    // As below.
  }
  const id = parseVifName(name);
  return { vif: id === undefined ? '' : vifName(id), since: new Date(0).toISOString(), by: 'unknown' };
}
