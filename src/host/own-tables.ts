import { Nftables, NftError } from 'node-libnftables';
import type { Logger } from 'pino';

/**
 * Changes tables of ours in a way that nobody else can change or flush them, where that can be had: with the flag
 * `owner` (Linux 5.12) a table belongs to the netlink socket that made it, and with `persist` (Linux 6.9, nft 1.1.0) it
 * stays when that socket is closed, and belongs to whoever says the same of it next. Both cannot be given to a table
 * that is there without them.
 */
export class OwnTables {
  readonly #log: Logger | undefined;
  #nft: Nftables | undefined;
  /** `add table <family> <name>` → whether that table is there and nobody else's. */
  readonly #owned = new Map<string, boolean>();

  constructor(log?: Logger) {
    this.#log = log;
  }

  /** @throws when there is no libnftables */
  get library(): Nftables {
    this.#nft ??= new Nftables();
    return this.#nft;
  }

  /** Runs commands as one transaction. @throws NftError */
  run(commands: readonly string[]): void {
    const needed = commands.filter((command) => !command.startsWith(addTable) || !this.#own(command));
    try {
      this.library.run(needed.join('\n'));
    } catch (error) {
      // Perhaps it is not what we take it for.
      this.#owned.clear();
      throw error;
    }
    for (const command of commands) {
      if (command.startsWith('delete table ')) this.forget(command.slice('delete table '.length));
    }
  }

  /** Takes a table over that an earlier daemon has left. */
  claim(table: string): void {
    try {
      this.#own(addTable + table);
    } catch {
      // There is no libnftables; whoever wants something changed is told.
    }
  }

  /** A table has been deleted: the next one of that name can be another. */
  forget(table: string): void {
    this.#owned.delete(addTable + table);
  }

  close(): void {
    this.#nft?.close();
  }

  /** Whether a table is there and ours alone; else it may not be there at all. */
  #own(declaration: string): boolean {
    const known = this.#owned.get(declaration);
    if (known !== undefined) return known;
    const owned = this.#try(declaration);
    this.#owned.set(declaration, owned);
    return owned;
  }

  #try(declaration: string): boolean {
    const table = declaration.slice(addTable.length);
    try {
      this.library.run(`${declaration} { flags owner, persist; }`);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      this.#log?.debug({ table, reason: error.message }, 'nft table is open to others');
      return false;
    }
    this.#log?.debug({ table }, 'nft table is ours alone');
    return true;
  }
}

const addTable = 'add table ';
