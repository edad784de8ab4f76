import type { Logger } from 'pino';
import {
  type FilterView,
  netdevTable,
  routerCommands,
  routerSets,
  routerTable,
  tableName,
} from '../vif/nft.js';
import {
  attribute,
  decodeDrops,
  decodeElementDrops,
  everyRouted,
  FilterState,
  family,
  nft,
  tableOf,
} from './filter-state.js';
import { NetlinkError, RouteNetlink } from './netlink.js';
import { AttrStream, Flags, type NetlinkMessage, Protocol, putString } from './netlink-format.js';
import { OwnTables } from './own-tables.js';

/** NFNLGRP_NFTABLES. */
const group = 7;

/** Packets dropped by reason; `address of a guest` and `the driver domain itself` only for routed vifs. */
export type Drops = Readonly<Record<string, number>>;

/**
 * The vifs' filters in nf_tables. Changed by libnftables, seen by the kernel's own notifications: what others did to
 * them is known at once, and what we did when the change has been made.
 */
export class Filters {
  readonly #netlink: RouteNetlink;
  readonly #listener: (vifs: readonly string[]) => void;
  readonly #tables: OwnTables;
  /** Transactions that {@link view} does not show yet. */
  #unseen = 0;
  #current = new FilterState();
  #next: FilterState | undefined;
  /** Gets the rows of a listing that is not for the state. */
  #reader: ((message: NetlinkMessage) => void) | undefined;
  #stale = false;
  #syncing: Promise<void> | undefined;
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(listener: (vifs: readonly string[]) => void, log: Logger | undefined) {
    this.#listener = listener;
    this.#tables = new OwnTables(log);
    this.#netlink = new RouteNetlink(
      [group],
      { message: (message) => this.#apply(message), overflow: () => this.#sync() },
      Protocol.NETFILTER,
    );
  }

  /**
   * @param listener told the names of the vifs whose filter changed, `*` for any
   * @param options.serves whether to take over what an earlier daemon has left; who only looks does not
   */
  static async open(
    listener: (vifs: readonly string[]) => void,
    { serves, log }: { serves: boolean; log?: Logger | undefined },
  ): Promise<Filters> {
    const filters = new Filters(listener, log);
    await filters.#sync();
    if (serves) {
      if (filters.#current.hasChains) filters.#tables.claim(netdevTable);
      if (filters.#current.hasRouter) filters.#tables.claim(routerTable);
    }
    return filters;
  }

  /** What is installed now. */
  get view(): FilterView {
    return this.#current;
  }

  /** The names of the vifs that have something installed. */
  owners(): Iterable<string> {
    return this.#current.owners();
  }

  /**
   * Runs commands as one transaction, and resolves when {@link view} shows what they did. A table goes with the last
   * that was in it. @throws NftError
   */
  async run(commands: readonly string[]): Promise<void> {
    // The router's part may have gone since this was planned.
    const missing =
      !this.#current.hasRouter &&
      commands.some((command) => command.startsWith(`add element ${routerTable} `)) &&
      !commands.includes(`add table ${routerTable}`);
    await this.#run(missing ? [...routerCommands(), ...commands] : commands);
    if (commands.some((command) => command.startsWith('delete '))) await this.#tidy(commands);
  }

  /** Deletes what is empty after these commands. */
  async #tidy(after: readonly string[]): Promise<void> {
    // What another transaction has added may not show yet; it will when the next vif goes.
    if (this.#unseen > 0) return;
    const unused = [
      ...(after.includes(`add table ${netdevTable}`) && !this.#current.hasChains ? [netdevTable] : []),
      ...(this.#current.hasRouter && !this.#current.hasElements ? [routerTable] : []),
    ];
    if (unused.length === 0) return;
    const deleted = this.#run(unused.map((table) => `delete table ${table}`));
    // Who plans or runs something before the notification comes must know.
    if (unused.includes(routerTable)) this.#current.clearRouter();
    // Somebody else has done it, or keeps us from it; it is not in the way.
    await deleted.catch(() => undefined);
  }

  async #run(commands: readonly string[]): Promise<void> {
    this.#unseen++;
    try {
      this.#tables.run(commands);
      // The notifications of the transaction are in the socket before the answer to this.
      await this.#netlink.request(nft.getGeneration, 0, Buffer.alloc(4));
    } catch (error) {
      // Perhaps the world is not what we take it for.
      await this.#sync();
      throw error;
    } finally {
      this.#unseen--;
    }
  }

  /** What was dropped of each vif since its filter was made, by reason. Reads every rule: not for every second. */
  async drops(): Promise<Map<string, Drops>> {
    const drops = new Map<string, Record<string, number>>();
    const add = (vif: string, reason: string, packets: bigint): void => {
      const of = drops.get(vif) ?? {};
      of[reason] = (of[reason] ?? 0) + Number(packets);
      drops.set(vif, of);
    };
    await this.#exclusively(async () => {
      this.#reader = (message) => {
        const rule = decodeDrops(message);
        if (rule) add(rule.vif, rule.reason, rule.packets);
        for (const { vif, set, packets } of decodeElementDrops(message)) {
          add(vif, set === 'reverse' ? 'address of a guest' : 'the driver domain itself', packets);
        }
      };
      try {
        await this.#list(nft.getRule, family.netdev);
        for (const set of routerSets) await this.#list(nft.getElements, family.inet, set);
      } finally {
        this.#reader = undefined;
      }
    });
    return drops;
  }

  close(): void {
    this.#netlink.close();
    this.#tables.close();
  }

  #apply(message: NetlinkMessage): void {
    if (message.flags & Flags.MULTI) {
      if (this.#reader) this.#reader(message);
      else this.#next?.apply(message);
      return;
    }
    this.#next?.apply(message);
    if (message.type === nft.delTable) this.#tables.forget(tableOf(message));
    const vifs = this.#current.apply(message);
    if (vifs.length > 0) this.#listener(vifs);
  }

  /** Reads everything again; a call while that is under way makes it start over. */
  #sync(): Promise<void> {
    this.#stale = true;
    this.#syncing ??= this.#exclusively(() => this.#readAll()).finally(() => {
      this.#syncing = undefined;
    });
    return this.#syncing;
  }

  async #readAll(): Promise<void> {
    while (this.#stale) {
      this.#stale = false;
      this.#next = new FilterState();
      try {
        await this.#list(nft.getChain, family.netdev);
        await this.#list(nft.getRule, family.netdev);
        await this.#list(nft.getRule, family.inet);
        for (const set of routerSets) await this.#list(nft.getElements, family.inet, set);
        this.#current = this.#next;
      } catch (error) {
        // The tables changed under the listing, or there was more news than the socket holds: begin again.
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EINTR' && code !== 'ENOBUFS') throw error;
        this.#stale = true;
      } finally {
        this.#next = undefined;
      }
    }
    this.#listener([everyRouted]);
  }

  /**
   * Asks for what is in our table of a family. A table that is not there, and a kernel without nf_tables, have nothing
   * of ours; whoever wants a filter then is told by {@link run}.
   */
  async #list(type: number, of: number, set?: string): Promise<void> {
    const attributes = new AttrStream();
    attributes.push(attribute.table, putString(tableName));
    if (set !== undefined) attributes.push(attribute.elementsSet, putString(set));
    try {
      await this.#netlink.dump(type, Buffer.from([of, 0, 0, 0]), attributes);
    } catch (error) {
      if (!(error instanceof NetlinkError) || !absences.has(error.code)) throw error;
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#reading.then(work);
    this.#reading = mine.catch(() => undefined);
    return mine;
  }
}

const absences = new Set(['ENOENT', 'EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT']);
