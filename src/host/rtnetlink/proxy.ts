import type { Network } from '../../model/address.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { create, replace } from '../netlink/format.js';
import { neighbourAttributes, neighbourHeader } from './neighbour.js';
import { ntfProxy, rtmNeigh } from './neighbour-state.js';
import type { RouteState } from './route-state.js';

/** Changes of our proxy entries: the addresses that are answered for at a device. */
export class Proxies {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly RouteState[];
  readonly #deleted: (address: Network) => void;

  /**
   * @param states where changes are noted: the kernel announces proxy entries to no socket
   * @param deleted called with the address of an entry that has been deleted, which another vif may have waited for
   */
  constructor(
    netlink: NetlinkConnection,
    states: () => readonly RouteState[],
    deleted: (address: Network) => void,
  ) {
    this.#netlink = netlink;
    this.#states = states;
    this.#deleted = deleted;
  }

  /** @param owner the vif that the entry belongs to @throws NetlinkError */
  async set(index: number, address: Network, owner: string): Promise<void> {
    const header = neighbourHeader(index, address, ntfProxy);
    await this.#netlink.request(rtmNeigh.add, create | replace, header, neighbourAttributes(address));
    for (const state of this.#states()) state.setProxy({ address, device: index, owner });
  }

  /** Notes that an address was announced with a carrier of the device. */
  announced(index: number, address: Network, carrier: number): void {
    for (const state of this.#states()) state.proxyAnnounced(index, address, carrier);
  }

  /** @throws NetlinkError */
  async delete(index: number, address: Network): Promise<void> {
    const header = neighbourHeader(index, address, ntfProxy);
    await this.#netlink.remove(rtmNeigh.delete, header, neighbourAttributes(address));
    for (const state of this.#states()) state.deleteProxy(index, address);
    this.#deleted(address);
  }
}
