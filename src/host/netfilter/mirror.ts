import { NetlinkConnection } from '../netlink/connection.js';
import { afterPause, isDisturbed } from '../netlink/disturbed.js';
import { Flags, type NetlinkMessage, Protocol } from '../netlink/format.js';
import type { Expected } from './contents.js';
import { TableDumps } from './dumps.js';
import { decode, decodeGeneration, isOurs, nft } from './messages.js';
import { isOwnThread } from './own-thread.js';
import { NftState } from './state.js';

/** NFNLGRP_NFTABLES. */
const group = 7;

interface MirrorListener {
  /** Called with the vifs whose part of vifd's tables others have changed, `everyVif` for any. */
  changed(vifs: readonly string[]): void;
  /** Called when others have, or may have, changed anything in vifd's tables, after {@link changed}. */
  oursChanged(): void;
  /** Called when a table that is not vifd's has changed, or may have. */
  foreignChanged(): void;
  /** Called when a table has been deleted, by vifd too. */
  deleted(table: string): void;
  /** Called where something that was announced could not be read; it is tried again. */
  failed(error: Error): void;
}

/** The state of vifd's tables, read once and then followed by the kernel's notifications. */
export class NftMirror {
  #netlink: NetlinkConnection | undefined;
  readonly #dumps: TableDumps;
  readonly #listener: MirrorListener;
  readonly #expected: Expected;
  #current: NftState;
  /** The state that is being read. */
  #next: NftState | undefined;
  /** Whether the transaction that is being announced is about vifd's tables, about others', and the vifs it is about. */
  #ours = false;
  #others = false;
  #touched = new Set<string>();
  #stale = false;
  #syncing: Promise<void> | undefined;

  constructor(expected: Expected, listener: MirrorListener) {
    this.#expected = expected;
    this.#listener = listener;
    this.#current = new NftState(expected);
    this.#dumps = new TableDumps(() => this.#netlink);
  }

  /** Whether the kernel can be asked; before {@link connect} there are no tables. */
  get isConnected(): boolean {
    return this.#netlink !== undefined;
  }

  /** @throws Error with a `code`, where the kernel has no nf_tables EPROTONOSUPPORT */
  connect(): void {
    const receive = (message: NetlinkMessage): void => this.#receive(message);
    const overflow = (): Promise<void> => {
      this.#listener.foreignChanged();
      return this.sync();
    };
    const failed = (error: Error): void => this.#listener.failed(error);
    this.#netlink ??= new NetlinkConnection(
      [group],
      { message: receive, overflow, failed },
      { protocol: Protocol.NETFILTER },
    );
  }

  /** The state now. */
  get state(): NftState {
    return this.#current;
  }

  get dumps(): TableDumps {
    return this.#dumps;
  }

  /** Reads everything again; a call while that is under way makes it start again. */
  sync(): Promise<void> {
    this.#stale = true;
    this.#syncing ??= this.#dumps
      .exclusively(() => this.#readAll())
      .finally(() => {
        this.#syncing = undefined;
      });
    return this.#syncing;
  }

  /** Takes what has been announced so far for known. */
  forgetTouched(): void {
    this.#touched.clear();
  }

  /** Notes that the netdev with this index is gone or in another network namespace; undefined means that any may be. */
  deviceGone(index: number | undefined): void {
    this.#next?.deviceGone(index);
    this.#current.deviceGone(index);
  }

  close(): void {
    this.#netlink?.close();
  }

  #receive(message: NetlinkMessage): void {
    const maker = decodeGeneration(message);
    if (maker !== undefined) this.#endTransaction(maker);
    const decoded = decode(message);
    if (decoded === undefined) return;
    if (message.flags & Flags.MULTI) {
      this.#dumps.handleRow(decoded);
      return;
    }
    this.#ours ||= isOurs(decoded);
    this.#others ||= !isOurs(decoded);
    this.#dumps.handleChange(decoded);
    this.#next?.apply(decoded);
    if (decoded.type === nft.delTable) this.#listener.deleted(decoded.table);
    for (const vif of this.#current.apply(decoded)) this.#touched.add(vif);
  }

  /** Handles the end of an announced transaction; the kernel announces it change by change, then names the thread. */
  #endTransaction(maker: number): void {
    const vifs = [...this.#touched];
    const ours = this.#ours;
    if (this.#others) this.#listener.foreignChanged();
    this.#touched.clear();
    this.#ours = false;
    this.#others = false;
    if (isOwnThread(maker)) return;
    if (vifs.length > 0) this.#listener.changed(vifs);
    if (ours) this.#listener.oursChanged();
  }

  async #readAll(): Promise<void> {
    const before = this.#current;
    while (this.#stale) {
      this.#stale = false;
      const next = new NftState(this.#expected);
      this.#next = next;
      try {
        await this.#dumps.readAll(next);
        this.#current = next;
      } catch (error) {
        // vifd's tables changed during the dump, or notifications overflowed the socket: begin again.
        if (!isDisturbed(error)) throw error;
        this.#stale = true;
        await afterPause(error);
      } finally {
        this.#next = undefined;
      }
    }
    const vifs = before.differences(this.#current);
    if (vifs.length > 0) this.#listener.changed(vifs);
    this.#listener.oursChanged();
  }
}
