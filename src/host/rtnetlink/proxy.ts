import type { Network } from '../../model/address.js';
import type { ProxyEntry } from '../../model/proxy.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { create, replace } from '../netlink/format.js';
import type { Losses } from './losses.js';
import { neighbourAttributes, neighbourHeader } from './neighbour.js';
import { ntfProxy, rtmNeigh } from './neighbour-state.js';
import type { RouteState } from './route-state.js';

/** Changes of our proxy entries: the addresses that are answered for at a device. */
export class Proxies {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly RouteState[];
  readonly #losses: Losses;
  readonly #deleted: (address: Network) => void;

  /**
   * @param states where changes are noted: the kernel announces proxy entries to no socket
   * @param deleted called with the address of an entry that has been deleted, which another vif may have waited for
   */
  constructor(
    netlink: NetlinkConnection,
    states: () => readonly RouteState[],
    losses: Losses,
    deleted: (address: Network) => void,
  ) {
    this.#netlink = netlink;
    this.#states = states;
    this.#losses = losses;
    this.#deleted = deleted;
  }

  /**
   * The owner is noted before the kernel is asked, so that what its former owner asks for by then does not delete it.
   * @param owner the vif that the entry belongs to
   * @throws NetlinkError
   */
  async set(index: number, address: Network, owner: string): Promise<void> {
    const before = this.#states().map((state) => ({ state, entry: state.proxy(index, address) }));
    const entry: ProxyEntry = { address, device: index, owner };
    const note = (): void => {
      for (const state of this.#states()) state.setProxy(entry);
    };
    note();
    const header = neighbourHeader(index, address, ntfProxy);
    let isThere = false;
    try {
      isThere = await this.#losses.outlasted(index, () =>
        this.#netlink.request(rtmNeigh.add, create | replace, header, neighbourAttributes(address)),
      );
    } catch (error) {
      for (const { state, entry: former } of before) {
        if (state.proxy(index, address) !== entry) continue;
        if (former === undefined) state.deleteProxy(index, address);
        else state.setProxy(former);
      }
      throw error;
    }
    // A new state may have been begun meanwhile.
    if (isThere && this.#isOf(owner, index, address)) note();
  }

  /** Notes that an address was announced with a carrier of the device. */
  announced(index: number, address: Network, carrier: number): void {
    for (const state of this.#states()) state.proxyAnnounced(index, address, carrier);
  }

  /**
   * Deletes an entry, unless it has become another vif's: the kernel has one for each device and address, and keeps no owner.
   * @param owner the vif that it was planned to be of; undefined for none
   * @throws NetlinkError
   */
  async delete(index: number, address: Network, owner: string | undefined): Promise<void> {
    if (!this.#isOf(owner, index, address)) return;
    const header = neighbourHeader(index, address, ntfProxy);
    await this.#netlink.remove(rtmNeigh.delete, header, neighbourAttributes(address));
    // One that was set meanwhile came to the kernel after this.
    if (this.#isOf(owner, index, address))
      for (const state of this.#states()) state.deleteProxy(index, address);
    this.#deleted(address);
  }

  /** Whether an entry is noted as that of a vif, or as none's where there is none noted. */
  #isOf(owner: string | undefined, index: number, address: Network): boolean {
    const [current] = this.#states();
    const entry = current?.proxy(index, address);
    return entry === undefined || entry.owner === owner;
  }
}
