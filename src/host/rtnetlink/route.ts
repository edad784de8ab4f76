import type { Network } from '../../model/address.js';
import { type DesiredRoute, ourMetric, ourProtocol } from '../../model/route.js';
import { mainTable } from '../../model/routing-rule.js';
import { addressBytes } from '../netlink/address-bytes.js';
import type { NetlinkConnection } from '../netlink/connection.js';
import { AttrStream, create, putU32, replace } from '../netlink/format.js';
import { familyOf } from './link-message.js';
import type { Losses } from './losses.js';
import { rta, rtmRoute, unicast } from './route-message.js';
import type { RouteState } from './route-state.js';

const scope = { universe: 0, link: 253 };

/** Changes of our routes, which are in the main table under our protocol number. */
export class Routes {
  readonly #netlink: NetlinkConnection;
  readonly #states: () => readonly RouteState[];
  readonly #losses: Losses;

  /** @param states where changes are noted of which the kernel does not tell */
  constructor(netlink: NetlinkConnection, states: () => readonly RouteState[], losses: Losses) {
    this.#netlink = netlink;
    this.#states = states;
    this.#losses = losses;
  }

  /**
   * Makes our route to a network lead to this device, wherever it led before. It is noted here: a route that was there
   * already is answered with success and announced to no socket (fib_table_insert: NLM_F_REPLACE of an equal one).
   * @throws NetlinkError
   */
  async set(index: number, route: DesiredRoute): Promise<void> {
    const { to, source } = route;
    const attributes = attributesOf(index, to);
    if (source !== undefined) attributes.push(rta.prefsrc, addressBytes({ ...to, address: source }));
    const isThere = await this.#losses.outlasted(index, () =>
      this.#netlink.request(rtmRoute.add, create | replace, headerOf(to), attributes),
    );
    if (!isThere) return;
    for (const state of this.#states()) state.setRoute(index, route);
  }

  /** @throws NetlinkError */
  async delete(index: number, to: Network): Promise<void> {
    await this.#netlink.remove(rtmRoute.delete, headerOf(to), attributesOf(index, to));
    for (const state of this.#states()) state.deleteRoute(index, to);
  }
}

/** A struct rtmsg. */
function headerOf(to: Network): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(familyOf(to), 0);
  header.writeUInt8(to.prefix, 1);
  header.writeUInt8(mainTable, 4);
  header.writeUInt8(ourProtocol, 5);
  // IPv6 has no scopes of routes.
  header.writeUInt8(to.family === 4 ? scope.link : scope.universe, 6);
  header.writeUInt8(unicast, 7);
  return header;
}

function attributesOf(index: number, to: Network): AttrStream {
  const attributes = new AttrStream();
  attributes.push(rta.dst, addressBytes(to));
  attributes.push(rta.oif, putU32(index));
  attributes.push(rta.priority, putU32(ourMetric));
  return attributes;
}
