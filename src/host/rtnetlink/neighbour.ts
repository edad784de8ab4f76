import type { Network } from '../../model/address.js';
import { ourProtocol } from '../../model/route.js';
import { addressBytes } from '../netlink/address-bytes.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { AttrStream, create, replace } from '../netlink/format.js';
import { familyOf } from './link-message.js';
import type { Losses } from './losses.js';
import { nda, nudPermanent, rtmNeigh } from './neighbour-state.js';
import type { RouteState } from './route-state.js';

/** Changes of our neighbour entries, which are permanent and under our protocol number. */
export class Neighbours {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly RouteState[];
  readonly #losses: Losses;

  /** @param states where changes are noted: of an entry that was there as it is nothing is told */
  constructor(netlink: NetlinkConnection, states: () => readonly RouteState[], losses: Losses) {
    this.#netlink = netlink;
    this.#states = states;
    this.#losses = losses;
  }

  /** @throws NetlinkError */
  async set(index: number, address: Network, mac: string): Promise<void> {
    const attributes = neighbourAttributes(address);
    attributes.push(nda.lladdr, Buffer.from(mac.replaceAll(':', ''), 'hex'));
    const header = neighbourHeader(index, address, 0);
    const isThere = await this.#losses.outlasted(index, () =>
      this.#netlink.request(rtmNeigh.add, create | replace, header, attributes),
    );
    if (!isThere) return;
    for (const state of this.#states()) state.setNeighbour(index, address, mac);
  }

  /**
   * The deletion is noted before the kernel is asked, so that it is no news when that tells of it.
   * @throws NetlinkError
   */
  async delete(index: number, address: Network): Promise<void> {
    for (const state of this.#states()) state.setNeighbour(index, address, undefined);
    const header = neighbourHeader(index, address, 0);
    await this.#netlink.remove(rtmNeigh.delete, header, neighbourAttributes(address));
  }
}

/** A struct ndmsg. */
export function neighbourHeader(index: number, address: Network, flags: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(familyOf(address), 0);
  header.writeInt32LE(index, 4);
  header.writeUInt16LE(nudPermanent, 8);
  header.writeUInt8(flags, 10);
  return header;
}

export function neighbourAttributes(address: Network): AttrStream {
  const attributes = new AttrStream();
  attributes.push(nda.dst, addressBytes(address));
  attributes.push(nda.protocol, Buffer.from([ourProtocol]));
  return attributes;
}
