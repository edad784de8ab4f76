import { AttrStream, Flags, type NetlinkMessage, Protocol, putString } from 'netlink';
import { Nftables } from 'node-libnftables';
import type { FilterView } from '../vif/nft.js';
import { routerSets, tableName } from '../vif/nft.js';
import {
  attribute,
  decodeDrops,
  decodeElementDrops,
  everyRouted,
  FilterState,
  family,
  nft,
} from './filter-state.js';
import { NetlinkError, RouteNetlink } from './netlink.js';

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
  #nft: Nftables | undefined;
  #current = new FilterState();
  #next: FilterState | undefined;
  /** Gets the rows of a listing that is not for the state. */
  #reader: ((message: NetlinkMessage) => void) | undefined;
  #stale = false;
  #syncing: Promise<void> | undefined;
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(listener: (vifs: readonly string[]) => void) {
    this.#listener = listener;
    this.#netlink = new RouteNetlink(
      [group],
      { message: (message) => this.#apply(message), overflow: () => void this.#sync() },
      Protocol.NETFILTER,
    );
  }

  /** @param listener told the names of the vifs whose filter changed, `*` for any */
  static async open(listener: (vifs: readonly string[]) => void): Promise<Filters> {
    const filters = new Filters(listener);
    await filters.#sync();
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

  /** Runs commands as one transaction, and resolves when {@link view} shows what they did. @throws NftError */
  async run(commands: readonly string[]): Promise<void> {
    this.#nft ??= new Nftables();
    try {
      this.#nft.run(commands.join('\n'));
    } catch (error) {
      // Perhaps the world is not what we take it for.
      await this.#sync();
      throw error;
    }
    // The notifications of the transaction are in the socket before the answer to this.
    await this.#netlink.request(nft.getGeneration, 0, Buffer.alloc(4));
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
    this.#nft?.close();
  }

  #apply(message: NetlinkMessage): void {
    if (message.flags & Flags.MULTI) {
      if (this.#reader) this.#reader(message);
      else this.#next?.apply(message);
      return;
    }
    this.#next?.apply(message);
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
