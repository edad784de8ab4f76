import { existsSync, readlinkSync } from 'node:fs';
import { Nftables, NftError } from 'node-libnftables';
import type { Logger } from 'pino';
import {
  countingSets,
  dropReasons,
  dropsSet,
  type Element,
  elementId,
  type NftAction,
  type NftChange,
  type RuledTable,
  type SetName,
  sets,
  type Table,
  tableOf,
  tables,
} from '../../model/nft.js';
import { ChangedMeanwhile } from '../../model/operation-error.js';
import { nftCommands } from '../../nft/commands.js';
import { NetlinkConnection, NetlinkError } from '../netlink/connection.js';
import { AttrStream, Flags, type NetlinkMessage, Protocol, putString } from '../netlink/format.js';
import { writeSysctl } from '../sysctl.js';
import {
  attribute,
  decode,
  decodeElements,
  decodeGeneration,
  family,
  type NftMessage,
  nft,
  setOf,
} from './messages.js';
import { rulesFile } from './rules-file.js';
import { everyVif, NftState } from './state.js';

/** NFNLGRP_NFTABLES. */
const group = 7;

/** Packets dropped by reason; `address of a guest` and `the driver domain itself` only for routed vifs. */
export type Drops = Readonly<Record<string, number>>;

/** Called with the names of the vifs whose part of nf_tables others have changed, {@link everyVif} for any. */
export type NftListener = (vifs: readonly string[]) => void;

interface NftOptions {
  /**
   * Whether to take over the tables of an earlier daemon, and to warn of foreign objects in them; a command that only reads
   * does not.
   */
  readonly serves: boolean;
  readonly log?: Logger | undefined;
  /** Called when a table of others has changed. */
  readonly foreignChanged?: () => void;
}

/**
 * vifd's tables in nf_tables, changed by libnftables in a thread of libuv's pool and followed by the kernel's
 * notifications. A change of another program is in {@link view} at once, one of {@link perform} when that resolves.
 */
export class NftTables {
  readonly #netlink: NetlinkConnection;
  readonly #listener: NftListener;
  readonly #serves: boolean;
  readonly #log: Logger | undefined;
  #library: Nftables | undefined;
  /** Why tables cannot be owned by this process; empty when they can, undefined when it was not tried. */
  #whyOpen: string | undefined;
  /** What vifd made forward since the table for it was made. */
  readonly #opened = new Map<string, Element>();
  #current = this.#newState();
  #next: NftState | undefined;
  /** Receives the rows of a listing that is not for the state. */
  #reader: ((message: NftMessage) => void) | undefined;
  /** Whether something that the listing under way goes through has changed since it began, and whether a rule of ours has. */
  #disturbed = false;
  #reordered = false;
  /** Whether the transaction that is being announced is about vifd's tables, and the vifs that it is about. */
  #ours = false;
  /** Whether it is about a table of others. */
  #others = false;
  #touched = new Set<string>();
  readonly #foreignChanged: () => void;
  readonly #told = new Set<string>();
  #stale = false;
  #syncing: Promise<void> | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  #performing: Promise<unknown> = Promise.resolve();

  private constructor(listener: NftListener, { serves, log, foreignChanged = () => undefined }: NftOptions) {
    this.#listener = listener;
    this.#foreignChanged = foreignChanged;
    this.#serves = serves;
    this.#log = log;
    this.#netlink = new NetlinkConnection(
      [group],
      {
        message: (message) => this.#receive(message),
        overflow: () => {
          this.#foreignChanged();
          return this.#sync();
        },
      },
      Protocol.NETFILTER,
    );
  }

  /**
   * @param listener called for changes of others, and for what {@link perform} has deleted
   */
  static async open(listener: NftListener, options: NftOptions): Promise<NftTables> {
    const { serves } = options;
    const opened = new NftTables(listener, options);
    await opened.#sync();
    if (serves) await opened.#claim();
    // The initial listing is no change.
    opened.#touched.clear();
    return opened;
  }

  /** The state of the tables now. */
  get view(): NftState {
    return this.#current;
  }

  /** Objects that other programs have put into vifd's tables, as nft names them; they are left as they are. */
  foreign(): string[] {
    return this.#current.foreign();
  }

  /** Notes that the netdev with this index is gone or in another network namespace; undefined means that any may be. */
  deviceGone(index: number | undefined): void {
    this.#next?.deviceGone(index);
    this.#current.deviceGone(index);
  }

  /**
   * Performs one transaction, and resolves when {@link view} shows its effect. To delete what is gone already is no error.
   * @throws ChangedMeanwhile when it was planned for another state of the tables; NftError
   */
  perform(action: NftAction): Promise<void> {
    const mine = this.#performing.then(() => this.#perform(action));
    this.#performing = mine.catch(() => undefined);
    return mine;
  }

  async #perform({ vif, closes = [], changes }: NftAction): Promise<void> {
    this.#refuseConflicts(vif, changes);
    closes.forEach(writeSysctl);
    const left = changes.filter((change) => !this.#isDone(change));
    try {
      await this.#run(left);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      // The refusal may mean that the view is wrong.
      await this.#sync();
      this.#refuseConflicts(vif, changes);
      const still = left.filter((change) => !this.#isDone(change));
      if (still.length === left.length) throw error;
      await this.#run(still);
    }
    if (changes.some((change) => change.change === 'delete-table' && change.table === 'inet vifd'))
      this.#opened.clear();
    // The kernel queues the notifications of the transaction before the answer to this request.
    await this.#readTable('netdev vifd');
    // The kernel announces nothing for an element that was there already.
    if (!this.#isShown(changes)) await this.#sync();
    for (const change of changes) if (change.change === 'set-rules') this.#tell(change.table);
    // Another vif may have waited for an address that this one has given up.
    if (changes.some(({ change }) => change.startsWith('delete-'))) this.#listener([vif]);
  }

  /** The packets dropped of each vif since its filter was installed, by reason. Costs some rows of a dump for each vif. */
  async drops(): Promise<Map<string, Drops>> {
    const devices = this.#current.devices();
    const drops = new Map<string, Record<string, number>>();
    for (const vif of devices.values())
      drops.set(vif, Object.fromEntries(dropReasons.slice(1).map((reason) => [reason, 0])));
    const add = (vif: string | undefined, reason: string | undefined, packets = 0n): void => {
      if (vif === undefined || vif === '' || reason === undefined) return;
      const of = drops.get(vif) ?? {};
      of[reason] = (of[reason] ?? 0) + Number(packets);
      drops.set(vif, of);
    };
    await this.#exclusively(async () => {
      this.#reader = (message) => {
        const set = setOf(message);
        if (set === dropsSet) {
          for (const { key, packets } of decodeElements(message, ['ifname', 'mark']))
            add(devices.get(key[0] ?? ''), dropReasons[Number(key[1])], packets);
        } else if (set !== undefined && isCounting(set)) {
          for (const { comment, packets } of decodeElements(message, sets[set].key))
            add(comment, countingSets[set], packets);
        }
      };
      try {
        const counting: [Table, string][] = [
          ['netdev vifd', dropsSet],
          ...Object.keys(countingSets).map((set): [Table, string] => ['inet vifd', set]),
        ];
        // Rows that are missed, because elements were added meanwhile, come with the next call.
        for (const [table, set] of counting)
          await this.#list(nft.getElements, table, set).catch(ignoreChange);
      } finally {
        this.#reader = undefined;
      }
    });
    return drops;
  }

  close(): void {
    this.#netlink.close();
    this.#library?.close();
  }

  #newState(): NftState {
    return new NftState({ rules: rulesFile, ownable: () => this.#isOwnable(), opened: this.#opened });
  }

  /** @throws ChangedMeanwhile when a table is in another state than the changes were planned for */
  #refuseConflicts(vif: string, changes: readonly NftChange[]): void {
    const view = this.#current;
    const made = new Set<Table>(
      changes.flatMap((change) => (change.change === 'set-rules' ? [change.table] : [])),
    );
    for (const change of changes) {
      switch (change.change) {
        case 'set-rules': {
          const rules = view.missingRules(change.table);
          if (rules !== undefined && rules !== change.rules) throw new ChangedMeanwhile(change.table);
          break;
        }
        case 'wake-table':
          if (!view.has(change.table)) throw new ChangedMeanwhile(change.table);
          break;
        case 'add-element':
        case 'add-opened':
        case 'set-chain': {
          const table = change.change === 'set-chain' ? 'netdev vifd' : tableOf(change.element);
          if (!made.has(table) && !view.has(table)) throw new ChangedMeanwhile(table);
          break;
        }
        case 'delete-table':
          if (view.has(change.table) && !view.isAll(change.table, vif))
            throw new ChangedMeanwhile(change.table);
          break;
        case 'delete-earlier':
          if (view.has('inet vifd') && view.earlier(vif) === undefined)
            throw new ChangedMeanwhile('inet vifd');
          break;
      }
    }
  }

  /** Whether the view shows already what a change does; false for additions, which may also change an owner. */
  #isDone(change: NftChange): boolean {
    const view = this.#current;
    switch (change.change) {
      case 'set-rules':
        return view.missingRules(change.table) === undefined;
      case 'wake-table':
        return view.dormant(change.table) === undefined;
      case 'delete-table':
        return !view.has(change.table);
      case 'delete-element':
        return view.owner(change.element) === undefined;
      case 'delete-chain':
      case 'forget-drops':
        return !view.has('netdev vifd');
      case 'delete-earlier':
        return !view.has('inet vifd');
      case 'add-opened':
        return view.isNoted(change.element);
      case 'set-chain':
      case 'add-element':
        return false;
    }
  }

  #isShown(changes: readonly NftChange[]): boolean {
    const view = this.#current;
    const added = new Set(
      changes.flatMap((change) => (change.change === 'add-element' ? [elementId(change.element)] : [])),
    );
    return changes.every((change) => {
      switch (change.change) {
        case 'add-element':
          return view.owner(change.element) === change.owner;
        case 'set-chain':
          return view
            .chains(change.owner)
            .some(
              ({ chain, fits, blocks = false }) =>
                chain === change.chain && fits && blocks === (change.blocks ?? false),
            );
        case 'delete-chain':
        case 'forget-drops':
          return true;
        case 'delete-element':
          return added.has(elementId(change.element)) || this.#isDone(change);
        default:
          return this.#isDone(change);
      }
    });
  }

  async #run(changes: readonly NftChange[]): Promise<void> {
    if (changes.length === 0) return;
    this.#library ??= new Nftables();
    await this.#library.runAside(nftCommands(changes, declareElements).join('\n'));
  }

  /** Becomes the owner of tables that an earlier daemon has left. */
  async #claim(): Promise<void> {
    for (const table of ['netdev vifd', 'inet vifd'] as const) {
      if (!this.#current.has(table)) continue;
      if (this.#current.outlives(table)) {
        try {
          this.#library ??= new Nftables();
          await this.#library.runAside(`add table ${table} { flags owner, persist; }`);
          await this.#readTable(table);
        } catch (error) {
          this.#log?.debug({ table, err: error }, 'nft table was not taken over');
        }
      }
      this.#tell(table);
    }
  }

  #tell(table: RuledTable): void {
    if (this.#told.has(table) || !this.#serves) return;
    this.#told.add(table);
    if (this.#current.isOwned(table)) this.#log?.debug({ table }, 'nft table is ours alone');
    else {
      const reason = this.#whyOpen || 'it was there before, without an owner';
      this.#log?.debug({ table, reason }, 'nft table is open to others');
    }
  }

  /** Whether nft and the kernel take a table with an owner, found by a dry run. */
  #isOwnable(): boolean {
    if (this.#whyOpen === undefined) {
      try {
        const probe = new Nftables();
        try {
          probe.check('add table netdev vifd-probe { flags owner, persist; }');
          this.#whyOpen = '';
        } finally {
          probe.close();
        }
      } catch (error) {
        this.#whyOpen = error instanceof Error ? error.message : String(error);
      }
    }
    return this.#whyOpen === '';
  }

  #receive(message: NetlinkMessage): void {
    const maker = decodeGeneration(message);
    if (maker !== undefined) this.#endTransaction(maker);
    const decoded = decode(message);
    if (decoded === undefined) return;
    if (message.flags & Flags.MULTI) {
      if (this.#reader) this.#reader(decoded);
      else this.#next?.apply(decoded);
      return;
    }
    this.#ours ||= isOurs(decoded);
    this.#others ||= !isOurs(decoded);
    this.#disturbed ||= disturbs(decoded);
    this.#reordered ||= decoded.type === nft.newRule && isOurs(decoded);
    this.#next?.apply(decoded);
    if (decoded.type === nft.delTable) this.#told.delete(decoded.table);
    for (const vif of this.#current.apply(decoded)) this.#touched.add(vif);
  }

  /** Handles the end of an announced transaction; the kernel announces it change by change, then names the thread. */
  #endTransaction(maker: number): void {
    const vifs = [...this.#touched];
    const ours = this.#ours;
    if (this.#others) this.#foreignChanged();
    this.#touched.clear();
    this.#ours = false;
    this.#others = false;
    if (isOwnThread(maker)) return;
    if (vifs.length > 0) this.#listener(vifs);
    if (ours) this.#warnOfForeign();
  }

  #warnOfForeign(): void {
    if (!this.#serves) return;
    const found = this.foreign();
    for (const object of found) {
      if (this.#told.has(object)) continue;
      this.#told.add(object);
      this.#log?.warn({ object }, 'not made by vifd, and left alone in its table');
    }
    for (const told of this.#told) {
      if (!(tables as readonly string[]).includes(told) && !found.includes(told)) this.#told.delete(told);
    }
  }

  /** Reads everything again; a call while that is under way makes it start again. */
  #sync(): Promise<void> {
    this.#stale = true;
    this.#syncing ??= this.#exclusively(() => this.#readAll()).finally(() => {
      this.#syncing = undefined;
    });
    return this.#syncing;
  }

  async #readAll(): Promise<void> {
    const before = this.#current;
    while (this.#stale) {
      this.#stale = false;
      const next = this.#newState();
      this.#next = next;
      try {
        await this.#fill(next);
        this.#current = next;
      } catch (error) {
        // vifd's tables changed during the listing, or notifications overflowed the socket: begin again.
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EINTR' && code !== 'ENOBUFS') throw error;
        this.#stale = true;
      } finally {
        this.#next = undefined;
      }
    }
    const vifs = before.differences(this.#current);
    if (vifs.length > 0) this.#listener(vifs);
    this.#warnOfForeign();
  }

  async #fill(next: NftState): Promise<void> {
    this.#reordered = false;
    for (const table of tables) await this.#readTable(table);
    for (const table of tables) {
      if (!next.has(table)) continue;
      if (table !== 'inet vifd-nat') {
        await this.#list(nft.getChain, table);
        await this.#list(nft.getRule, table);
      }
      await this.#list(nft.getSet, table);
      for (const set of setNames.filter((name) => sets[name].table === table))
        await this.#list(nft.getElements, table, set);
    }
    // A rule that is announced during the listing would be kept before rules that are listed later and come before it.
    if (this.#reordered) throw new NetlinkError(eintr);
  }

  /** Reads a table itself, with its flags. */
  async #readTable(table: Table): Promise<void> {
    const { header, attributes } = requestFor(table);
    try {
      await this.#netlink.request(nft.getTable, 0, header, attributes);
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
  }

  /**
   * Reads the objects in one of vifd's tables. An absent table and a kernel without nf_tables have none; a vif that needs
   * them gets its error from {@link perform}.
   */
  async #list(type: number, table: Table, set?: string): Promise<void> {
    const { header, attributes } = requestFor(table);
    if (set !== undefined) attributes.push(attribute.elementsSet, putString(set));
    this.#disturbed = false;
    try {
      await this.#netlink.dump(type, header, attributes);
    } catch (error) {
      // The kernel reports NLM_F_DUMP_INTR also when only tables of other programs changed.
      if (error instanceof NetlinkError && error.code === 'EINTR' && !this.#disturbed) return;
      if (!isAbsence(error)) throw error;
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#reading.then(work);
    this.#reading = mine.catch(() => undefined);
    return mine;
  }
}

const isCounting = (set: string): set is keyof typeof countingSets => Object.hasOwn(countingSets, set);

const setNames = Object.keys(sets) as SetName[];

/**
 * Whether a thread of this process has the id that the kernel names. It names threads by their ids in the initial pid
 * namespace (nf_tables_fill_gen_info), which in a container may be those of other threads: there none is taken for ours.
 */
const isOwnThread = (id: number): boolean => inInitialPidNamespace && existsSync(`/proc/self/task/${id}`);

/** The kernel gives that namespace this inode number (PROC_PID_INIT_INO). */
const inInitialPidNamespace = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';

function requestFor(table: Table): { header: Buffer; attributes: AttrStream } {
  const [kind, name = ''] = table.split(' ');
  const attributes = new AttrStream();
  attributes.push(attribute.table, putString(name));
  return { header: Buffer.from([kind === 'inet' ? family.inet : family.netdev, 0, 0, 0]), attributes };
}

/**
 * Whether a listing may have missed rows by this change: of vifd's tables, or of any table or chain of their families,
 * because the kernel finds its place in a dump again by counting these (nf_tables_dump_chains).
 */
const disturbs = (message: NftMessage): boolean => isOurs(message) || message.type <= nft.delChain;

const isOurs = ({ table }: NftMessage): boolean => (tables as readonly string[]).includes(table);

/**
 * The declaration of a set with elements, which adds them as `add element` does. Before that command libnftables reads
 * all chains of all tables (2.7 ms with 1,000 of them, against 0.4).
 */
const declareElements = (set: SetName, elements: readonly string[]): string => {
  const { table } = sets[set];
  return `add set ${table} ${set} { ${rulesFile.get(table)?.sets.get(set)} elements = { ${elements.join(', ')} }; }`;
};

const eintr = 4;

function ignoreChange(error: unknown): void {
  if (!(error instanceof NetlinkError) || error.code !== 'EINTR') throw error;
}

const isAbsence = (error: unknown): boolean => error instanceof NetlinkError && absences.has(error.code);
const absences = new Set(['ENOENT', 'EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT']);

export { everyVif };
