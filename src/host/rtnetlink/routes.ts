import type { Network } from '../../model/address.js';
import { type DesiredRoute, ourMetric, ourProtocol } from '../../model/routing.js';
import { addressBytes } from '../netlink/address-bytes.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { AttrStream, putU32 } from '../netlink/format.js';
import { family, ifa, rtm } from './link-state.js';
import {
  nda,
  ntfProxy,
  nudPermanent,
  type RouteState,
  replace,
  rta,
  rtmNeigh,
  rtmRoute,
  tableMain,
  unicast,
} from './route-state.js';

/** NLM_F_CREATE. */
const create = 0x400;
const scope = { universe: 0, link: 253 };
/** IFA_F_NODAD: no duplicate address detection, so that the address is usable at once. */
const noDad = 0x02;

/** Changes addresses, routes and neighbour entries; routes have vifd's protocol number. */
export class Routes {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly RouteState[];

  /** @param states the states in which changes are noted that the kernel does not announce */
  constructor(netlink: NetlinkConnection, states: () => readonly RouteState[]) {
    this.#netlink = netlink;
    this.#states = states;
  }

  /** @throws NetlinkError */
  async addAddress(index: number, address: Network): Promise<void> {
    const header = Buffer.alloc(8);
    header.writeUInt8(familyOf(address), 0);
    header.writeUInt8(address.prefix, 1);
    if (address.family === 6) header.writeUInt8(noDad, 2);
    header.writeUInt32LE(index, 4);
    const attributes = new AttrStream();
    attributes.push(ifa.local, addressBytes(address));
    attributes.push(ifa.address, addressBytes(address));
    await this.#netlink.request(rtm.newAddr, create | replace, header, attributes);
  }

  /**
   * Makes vifd's route to a network lead to this device, wherever it led before. The state is updated here, because the
   * kernel announces nothing when an equal route exists (fib_table_insert with NLM_F_REPLACE).
   * @throws NetlinkError
   */
  async setRoute(index: number, route: DesiredRoute): Promise<void> {
    const { to, source } = route;
    const attributes = routeAttributes(index, to);
    if (source !== undefined) attributes.push(rta.prefsrc, addressBytes({ ...to, address: source }));
    await this.#netlink.request(rtmRoute.add, create | replace, routeHeader(to), attributes);
    for (const state of this.#states()) state.setRoute(index, route);
  }

  /** @throws NetlinkError */
  async deleteRoute(index: number, to: Network): Promise<void> {
    await this.#netlink.remove(rtmRoute.delete, routeHeader(to), routeAttributes(index, to));
    for (const state of this.#states()) state.deleteRoute(index, to);
  }

  /** Sets a permanent neighbour entry, or deletes it where `mac` is undefined. @throws NetlinkError */
  async setNeighbour(index: number, address: Network, mac: string | undefined): Promise<void> {
    const attributes = neighbourAttributes(address);
    if (mac !== undefined) attributes.push(nda.lladdr, Buffer.from(mac.replaceAll(':', ''), 'hex'));
    const header = neighbourHeader(index, address, 0);
    if (mac === undefined) await this.#netlink.remove(rtmNeigh.delete, header, attributes);
    else await this.#netlink.request(rtmNeigh.add, create | replace, header, attributes);
    for (const state of this.#states()) state.setNeighbour(index, address, mac);
  }

  /** Adds a proxy entry that belongs to this vif. @throws NetlinkError */
  async setProxy(index: number, address: Network, owner: string): Promise<void> {
    const header = neighbourHeader(index, address, ntfProxy);
    await this.#netlink.request(rtmNeigh.add, create | replace, header, neighbourAttributes(address));
    for (const state of this.#states()) state.setProxy({ address, device: index, owner });
  }

  /** @throws NetlinkError */
  async deleteProxy(index: number, address: Network): Promise<void> {
    const header = neighbourHeader(index, address, ntfProxy);
    await this.#netlink.remove(rtmNeigh.delete, header, neighbourAttributes(address));
    for (const state of this.#states()) state.deleteProxy(index, address);
  }
}

const familyOf = ({ family: version }: Network): number => (version === 4 ? family.inet : family.inet6);

/** struct rtmsg. */
function routeHeader(to: Network): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(familyOf(to), 0);
  header.writeUInt8(to.prefix, 1);
  header.writeUInt8(tableMain, 4);
  header.writeUInt8(ourProtocol, 5);
  // IPv6 routes have no scope.
  header.writeUInt8(to.family === 4 ? scope.link : scope.universe, 6);
  header.writeUInt8(unicast, 7);
  return header;
}

function routeAttributes(index: number, to: Network): AttrStream {
  const attributes = new AttrStream();
  attributes.push(rta.dst, addressBytes(to));
  attributes.push(rta.oif, putU32(index));
  attributes.push(rta.priority, putU32(ourMetric));
  return attributes;
}

/** struct ndmsg. */
function neighbourHeader(index: number, address: Network, flags: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(familyOf(address), 0);
  header.writeInt32LE(index, 4);
  header.writeUInt16LE(nudPermanent, 8);
  header.writeUInt8(flags, 10);
  return header;
}

function neighbourAttributes(address: Network): AttrStream {
  const attributes = new AttrStream();
  attributes.push(nda.dst, addressBytes(address));
  attributes.push(nda.protocol, Buffer.from([ourProtocol]));
  return attributes;
}
