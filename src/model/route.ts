import type { Network } from './address.js';
import type { ProxyEntry } from './proxy.js';
import type { RoutingRule, TableRoute } from './routing-rule.js';

/**
 * The protocol number of the routes and neighbour entries that are ours (RTPROT_*, `ip route … proto 120`). Free in
 * linux/rtnetlink.h and in iproute2's rt_protos; everything under it is taken for ours and removed when no vif wants it.
 */
export const ourProtocol = 120;

/** The metric of our routes, as the stock vif-route has it for a vif (1 was for an emulated tap). */
export const ourMetric = 2;

/** A route in the main table, ours or one of others that can stand before ours. */
export interface Route {
  readonly to: Network;
  /** The index of the device it leads to. */
  readonly device: number;
  readonly metric: number;
  /** The source address of what the domain itself sends there. */
  readonly source: string | undefined;
  readonly ours: boolean;
}

/** The longest prefix of which some few routes together cover the Internet: no network that is assigned is as large. */
const longestDefault = { 4: 7, 6: 4 };

/**
 * Whether a network is everything or so large a part of it that a route to it takes the place of a default route, as VPNs
 * have it (`0.0.0.0/1` and `128.0.0.0/1`, `2000::/3`). Multicast is not.
 */
export const isDefault = ({ family, address, prefix }: Network): boolean =>
  prefix <= longestDefault[family] && !(family === 4 ? /^(22[4-9]|2[34]\d)\./ : /^f/).test(address);

/** A gateway of a route of others. */
export interface NextHop {
  /** As a host. */
  readonly address: Network;
  readonly device: number;
}

/** A route that a vif should have. */
export interface DesiredRoute {
  readonly to: Network;
  readonly source: string | undefined;
}

/** Looking up what routes there are; the kernel's tables as far as they concern vifs. */
export interface RouteView {
  /** Our route to exactly this network. */
  to(network: Network): Route | undefined;
  /** A route of others to exactly this network that the kernel takes before ours: its metric is lower. */
  before(network: Network): Route | undefined;
  /** Our routes to a device. */
  onDevice(index: number): readonly Route[];
  /** All our routes. */
  ours(): readonly Route[];
  /** The device the default route of lowest metric leads to. */
  defaultDevice(family: 4 | 6): number | undefined;
  /** The devices that any default route leads to, in whichever table and form, the main one's first. */
  waysOut(family: 4 | 6): readonly number[];
  /** The rules that choose a table, in the order in which they are asked; none where that is not known. */
  rules(family: 4 | 6): readonly RoutingRule[];
  /** The route of a table other than main by which packets to a network go; those of routing daemons are not known. */
  inTable(table: number, network: Network): TableRoute | undefined;
  /**
   * Whether this domain has a route of others to a network that an address is in, in any table: a private network, or by whichever
   * program that is no routing daemon. Default routes, those to vifs and those that refuse do not count.
   */
  leadsElsewhere(address: Network): boolean;
  /** The gateways of default routes and of those that an administrator or DHCP has set. */
  nextHops(): readonly NextHop[];
  /** Our permanent neighbour entries on a device: the MAC address for each address. */
  neighbours(index: number): ReadonlyMap<string, string>;
  /** Our proxy entries on all devices. */
  proxies(): readonly ProxyEntry[];
  /** Those of an address. */
  proxiesFor(address: string): readonly ProxyEntry[];
  /** Those of a vif, by its name. */
  proxiesOf(owner: string): readonly ProxyEntry[];
}
