import { Nftables, NftError } from 'node-libnftables';
import type { Logger } from 'pino';
import { masqueraded } from '../../model/masquerade.js';
import {
  type Element,
  type NftAction,
  type NftChange,
  type RuledTable,
  ruledTables,
  type SetName,
  specOf,
} from '../../model/nft.js';
import { nftCommands } from '../../nft/commands.js';
import { writeSysctl } from '../sysctl.js';
import { isDone, isShown, refuseConflicts } from './changes.js';
import { everyVif } from './contents.js';
import { type Drops, readDrops } from './drops.js';
import { readDropsOf } from './drops-of.js';
import { joined } from './joining.js';
import { NftMirror } from './mirror.js';
import { TableOwnership } from './ownership.js';
import { rulesFile, rulesWithoutCounts } from './rules-file.js';
import type { NftState } from './state.js';
import { type NftSupport, readSupport } from './support.js';
import { TransactionQueue } from './transaction-queue.js';

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
  /** Whether the kernel takes a chain at a netdev's ingress. */
  readonly canFilter: boolean;
  readonly #listener: NftListener;
  readonly #options: NftOptions;
  readonly #ownership: TableOwnership;
  readonly #mirror: NftMirror;
  #library: Nftables | undefined;
  /** What vifd made forward since the table for it was made. */
  readonly #opened = new Map<string, Element>();
  /** The foreign objects that the log has warned of. */
  #warnedOf: readonly string[] = [];
  readonly #queue = new TransactionQueue((actions) => this.#perform(actions));
  /** Whether the log has said that there is no nf_tables. */
  #isSaid = false;

  private constructor(listener: NftListener, options: NftOptions, support: NftSupport) {
    this.#listener = listener;
    this.#options = options;
    this.canFilter = support.whyNotFilter === undefined;
    this.#ownership = new TableOwnership(options.log, support.whyNotOwner);
    if (options.serves && support.whyNotCount !== undefined)
      options.log?.info(
        { reason: support.whyNotCount },
        'nf_tables counts no connections: one guest may take all of the resolver by TCP',
      );
    this.#mirror = new NftMirror(
      {
        rules: support.whyNotCount === undefined ? rulesFile : rulesWithoutCounts(),
        ownable: this.#ownership.isPossible,
        opened: this.#opened,
      },
      {
        changed: listener,
        oursChanged: () => this.#warnOfForeign(),
        foreignChanged: options.foreignChanged ?? (() => undefined),
        deleted: (table) => this.#ownership.forget(table),
        failed: (error) => options.log?.error({ err: error }, 'nf_tables not read; tried again'),
      },
    );
  }

  /**
   * @param listener called for changes of others, and for what {@link perform} has deleted
   */
  static async open(listener: NftListener, options: NftOptions): Promise<NftTables> {
    const opened = new NftTables(listener, options, await readSupport());
    opened.#connect();
    try {
      await opened.#mirror.sync();
      if (options.serves) for (const table of ruledTables) await opened.#claim(table);
    } catch (error) {
      opened.close();
      throw error;
    }
    // The initial dump is no change.
    opened.#mirror.forgetTouched();
    return opened;
  }

  /** The state of the tables now. */
  get view(): NftState {
    return this.#mirror.state;
  }

  /** Objects that other programs have put into vifd's tables, as nft names them; they are left as they are. */
  foreign(): string[] {
    return this.view.foreign();
  }

  /** Notes that the netdev with this index is gone or in another network namespace; undefined means that any may be. */
  deviceGone(index: number | undefined): void {
    this.#mirror.deviceGone(index);
  }

  /** The packets dropped of each vif since its filter was installed, by reason. Costs some rows of a dump for each vif. */
  drops(): Promise<Map<string, Drops>> {
    return readDrops(this.#mirror.dumps, this.view.devices());
  }

  /** The same of one vif, without a row of any other; undefined for one without a filter. */
  dropsOf(vif: string): Promise<Drops | undefined> {
    return readDropsOf(this.view.elements(vif));
  }

  /**
   * Performs one transaction, and resolves when {@link view} shows its effect. To delete what is gone already is no error.
   * @throws ChangedMeanwhile when it was planned for another state of the tables; NftError
   */
  perform(action: NftAction): Promise<void> {
    return this.#queue.perform(action);
  }

  close(): void {
    this.#mirror.close();
    this.#library?.close();
  }

  async #perform(actions: readonly NftAction[]): Promise<void> {
    const refuse = (): void => {
      for (const { vif, changes } of actions) refuseConflicts(this.view, vif, changes);
    };
    const changes = joined(actions);
    refuse();
    for (const { closes = [] } of actions) closes.forEach(writeSysctl);
    await this.#change(changes, refuse);
    if (changes.some((change) => change.change === 'delete-table' && change.table === 'inet vifd'))
      this.#opened.clear();
    // The kernel queues the notifications of the transaction before the answer to this request.
    await this.#mirror.dumps.readTable('netdev vifd');
    // The kernel announces nothing for an element that was there already.
    if (!isShown(this.view, changes)) await this.#mirror.sync();
    for (const change of changes) if (change.change === 'set-rules') this.#logOwnership(change.table);
    // Another vif may have waited for an address that one of these has given up.
    const deleting = actions.filter((action) =>
      action.changes.some(({ change }) => change.startsWith('delete-')),
    );
    if (deleting.length > 0) this.#listener(deleting.map(({ vif }) => vif));
    // What a routed guest sends back is followed as soon as others are masqueraded behind it.
    const behind = changes.flatMap((change) => this.#routerOf(change) ?? []);
    if (behind.length > 0) this.#listener(behind);
    // One that was looked at meanwhile took the forwarding that this notes for another's, and is not held to its ways out yet.
    if (changes.some(({ change }) => change === 'add-opened')) this.#listener([everyVif]);
  }

  /** The vif that is made the way out of an address by a change; undefined for any other. */
  #routerOf(change: NftChange): string | undefined {
    const added = change.change === 'add-element' ? masqueraded(change.element) : undefined;
    return added && this.view.owner({ set: 'routed', key: [added.uplink] });
  }

  /** Makes those changes that are not made yet. @param refuse throws when the tables are not as they were planned for */
  async #change(changes: readonly NftChange[], refuse: () => void): Promise<void> {
    const left = changes.filter((change) => !isDone(this.view, change));
    try {
      await this.#run(left);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      // The refusal may mean that the view is wrong.
      await this.#mirror.sync();
      refuse();
      const still = left.filter((change) => !isDone(this.view, change));
      if (still.length === left.length) throw error;
      await this.#run(still);
    }
  }

  /** Connects where the kernel has nf_tables; else what needs no filter works without. */
  #connect(): void {
    try {
      this.#mirror.connect();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EPROTONOSUPPORT' && code !== 'EAFNOSUPPORT') throw error;
      if (this.#isSaid) return;
      this.#isSaid = true;
      this.#options.log?.warn({ err: error }, 'no nf_tables: vifs that need a filter are not attached');
    }
  }

  async #run(changes: readonly NftChange[]): Promise<void> {
    if (changes.length === 0) return;
    // It may have come meanwhile, as a module.
    if (!this.#mirror.isConnected) {
      this.#connect();
      if (!this.#mirror.isConnected) throw new Error('this kernel has no nf_tables, which the filter needs');
      await this.#mirror.sync();
    }
    this.#library ??= new Nftables();
    await this.#library.runAside(nftCommands(changes, declareElements).join('\n'));
  }

  /** Becomes the owner of a table that an earlier daemon has left. */
  async #claim(table: RuledTable): Promise<void> {
    if (!this.view.has(table)) return;
    if (this.view.outlives(table)) {
      try {
        this.#library ??= new Nftables();
        await this.#library.runAside(`add table ${table} { flags owner, persist; }`);
        await this.#mirror.dumps.readTable(table);
      } catch (error) {
        this.#options.log?.debug({ table, err: error }, 'nft table was not taken over');
      }
    }
    this.#logOwnership(table);
  }

  #logOwnership(table: RuledTable): void {
    if (this.#options.serves) this.#ownership.log(table, this.view.isOwned(table));
  }

  #warnOfForeign(): void {
    if (!this.#options.serves) return;
    const found = this.foreign();
    for (const object of found) {
      if (!this.#warnedOf.includes(object))
        this.#options.log?.warn({ object }, 'not made by vifd, and left alone in its table');
    }
    this.#warnedOf = found;
  }
}

/**
 * The declaration of a set with elements, which adds them as `add element` does. Before that command libnftables reads
 * all chains of all tables (2.7 ms with 1,000 of them, against 0.4).
 */
const declareElements = (set: SetName, elements: readonly string[]): string => {
  const { table, value } = specOf(set);
  return `add ${value === undefined ? 'set' : 'map'} ${table} ${set} { ${rulesFile.get(table)?.sets.get(set)} elements = { ${elements.join(', ')} }; }`;
};
