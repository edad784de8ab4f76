import type { Network } from '../../model/address.js';
import { hasNoRoute } from '../../model/router-addresses.js';
import { addressBytes } from '../netlink/address-bytes.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { AttrStream, create, putU32, replace } from '../netlink/format.js';
import { familyOf, ifa, rtm } from './link-message.js';
import type { LinkState } from './link-state.js';

/** IFA_F_NODAD: no other machine may have the address, and it is usable at once. */
const noDad = 0x02;
/** IFA_F_NOPREFIXROUTE, and the attribute for flags that the header has no room for (IFA_FLAGS). */
const noPrefixRoute = 0x200;
const flags = 8;

/** Changes of the addresses of devices. */
export class Addresses {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly LinkState[];

  /** @param states where a deletion is noted: the kernel announces none of what was not there */
  constructor(netlink: NetlinkConnection, states: () => readonly LinkState[]) {
    this.#netlink = netlink;
    this.#states = states;
  }

  /** @throws NetlinkError */
  async add(index: number, address: Network): Promise<void> {
    const header = headerOf(index, address);
    if (address.family === 6) header.writeUInt8(noDad, 2);
    const attributes = new AttrStream();
    attributes.push(ifa.local, addressBytes(address));
    attributes.push(ifa.address, addressBytes(address));
    if (hasNoRoute(address)) attributes.push(flags, putU32(noDad | noPrefixRoute));
    await this.#netlink.request(rtm.newAddr, create | replace, header, attributes);
  }

  /** @throws NetlinkError */
  async delete(index: number, address: Network): Promise<void> {
    const attributes = new AttrStream();
    attributes.push(ifa.local, addressBytes(address));
    await this.#netlink.remove(rtm.delAddr, headerOf(index, address), attributes);
    for (const state of this.#states()) state.deleteAddress(index, address);
  }
}

/** A struct ifaddrmsg. */
function headerOf(index: number, address: Network): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(familyOf(address), 0);
  header.writeUInt8(address.prefix, 1);
  header.writeUInt32LE(index, 4);
  return header;
}
