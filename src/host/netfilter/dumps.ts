import { type SetName, sets, type Table, tables } from '../../model/nft.js';
import { type NetlinkConnection, NetlinkError } from '../netlink/connection.js';
import { AttrStream, putString } from '../netlink/format.js';
import { attribute, family, isOurs, type NftMessage, nft } from './messages.js';
import type { NftState } from './state.js';

/** Reads vifd's tables by netlink. The readings have to be made one at a time, by {@link exclusively}. */
export class TableDumps {
  readonly #netlink: () => NetlinkConnection | undefined;
  #row: ((row: NftMessage) => void) | undefined;
  /** Whether something that the dump under way goes through has changed since it began, and whether a rule of ours has. */
  #disturbed = false;
  #reordered = false;
  #reading: Promise<unknown> = Promise.resolve();

  /** @param netlink the connection; undefined while there is none, and then there are no tables */
  constructor(netlink: () => NetlinkConnection | undefined) {
    this.#netlink = netlink;
  }

  /** Takes a row of the dump under way from the connection. */
  handleRow(row: NftMessage): void {
    this.#row?.(row);
  }

  /** Takes note of a change that the kernel announces. */
  handleChange(change: NftMessage): void {
    this.#disturbed ||= disturbs(change);
    this.#reordered ||= change.type === nft.newRule && isOurs(change);
  }

  /** Reads a table itself, with its flags. The answer reaches the connection's listener like a notification. */
  async readTable(table: Table): Promise<void> {
    const { header, attributes } = requestFor(table);
    try {
      await this.#netlink()?.request(nft.getTable, 0, header, attributes);
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
  }

  /** Runs a reading when those before it have ended. */
  exclusively<T>(read: () => Promise<T>): Promise<T> {
    const mine = this.#reading.then(read);
    this.#reading = mine.catch(() => undefined);
    return mine;
  }

  /**
   * Reads all of vifd's tables into a state, to which the caller applies what is announced meanwhile.
   * @throws NetlinkError EINTR when they changed during the dump, ENOBUFS when notifications were lost
   */
  async readAll(state: NftState): Promise<void> {
    this.#reordered = false;
    await this.#withRows(
      (row) => state.apply(row),
      async () => {
        for (const table of tables) await this.readTable(table);
        for (const table of tables) if (state.has(table)) await this.#dumpTable(table);
      },
    );
    // A rule that is announced during the dump would be kept before rules that are dumped later and come before it.
    if (this.#reordered) throw new NetlinkError(eintr);
  }

  /** Reads the elements of sets. Of a set that changes meanwhile some may be missing. */
  readElements(from: readonly (readonly [Table, string])[], row: (row: NftMessage) => void): Promise<void> {
    return this.#withRows(row, async () => {
      for (const [table, set] of from) await this.#dump(nft.getElements, table, set).catch(ignoreChange);
    });
  }

  async #withRows(row: (row: NftMessage) => void, read: () => Promise<void>): Promise<void> {
    this.#row = row;
    try {
      await read();
    } finally {
      this.#row = undefined;
    }
  }

  async #dumpTable(table: Table): Promise<void> {
    if (table !== 'inet vifd-nat') {
      await this.#dump(nft.getChain, table);
      await this.#dump(nft.getRule, table);
    }
    await this.#dump(nft.getSet, table);
    for (const set of setNames.filter((name) => sets[name].table === table))
      await this.#dump(nft.getElements, table, set);
  }

  /**
   * Reads the objects in one of vifd's tables. An absent table and a kernel without nf_tables have none; a vif that needs
   * them gets its error when its changes are performed.
   */
  async #dump(type: number, table: Table, set?: string): Promise<void> {
    const { header, attributes } = requestFor(table);
    if (set !== undefined) attributes.push(attribute.elementsSet, putString(set));
    this.#disturbed = false;
    try {
      await this.#netlink()?.dump(type, header, attributes);
    } catch (error) {
      // The kernel reports NLM_F_DUMP_INTR also when only tables of other programs changed.
      if (error instanceof NetlinkError && error.code === 'EINTR' && !this.#disturbed) return;
      if (!isAbsence(error)) throw error;
    }
  }
}

const setNames = Object.keys(sets) as SetName[];

function requestFor(table: Table): { header: Buffer; attributes: AttrStream } {
  const [kind, name = ''] = table.split(' ');
  const attributes = new AttrStream();
  attributes.push(attribute.table, putString(name));
  return { header: Buffer.from([family[kind as 'inet' | 'netdev' | 'bridge'], 0, 0, 0]), attributes };
}

/**
 * Whether a dump may have missed rows by this change: of vifd's tables, or of any table or chain of their families,
 * because the kernel finds its place in a dump again by counting these (nf_tables_dump_chains).
 */
const disturbs = (change: NftMessage): boolean => isOurs(change) || change.type <= nft.delChain;

const eintr = 4;

function ignoreChange(error: unknown): void {
  if (!(error instanceof NetlinkError) || error.code !== 'EINTR') throw error;
}

const isAbsence = (error: unknown): boolean => error instanceof NetlinkError && absences.has(error.code);
const absences = new Set(['ENOENT', 'EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT']);
