import { contains, formatNetwork, type Network } from '../../model/address.js';
import { type News, netdev } from '../../model/dependency.js';
import { type Link, type LinkView, vifOfLink } from '../../model/observed.js';
import type { ProxyEntry } from '../../model/proxy.js';
import {
  type DesiredRoute,
  isDefault,
  type NextHop,
  ourMetric,
  ourProtocol,
  type Route,
  type RouteView,
} from '../../model/route.js';
import { mainTable, type RoutingRule, type TableRoute } from '../../model/routing-rule.js';
import { eachAttribute } from '../netlink/attributes.js';
import { type NetlinkMessage, replace } from '../netlink/format.js';
import { decodeAddress, family, iffUp, ifla, rtm } from './link-message.js';
import { Losses } from './losses.js';
import { decodeNeighbour, NeighbourState, rtmNeigh } from './neighbour-state.js';
import { ProxyState } from './proxy-state.js';
import { RouteIndex } from './route-index.js';
import { decodeRoutes, type KnownRoute, routeKey, rtmRoute, unicast } from './route-message.js';
import { rtmRule } from './rule-message.js';
import { RuleState } from './rule-state.js';
import { type Change, TableRoutes } from './table-routes.js';

// RTM_NEWNETCONF of linux/rtnetlink.h.
const rtmNewNetconf = 80;
/** RTPROT_BOOT, _STATIC, _RA and _DHCP: of an administrator or a DHCP client, and not a routing daemon's thousands. */
const fewProtocols: ReadonlySet<number> = new Set([3, 4, 9, 16]);

/**
 * The routes, neighbour and proxy entries that vifs depend on, built from a sequence of rtnetlink messages.
 *
 * Of the routes of other programs in the main table those are kept that can take precedence over one of vifd's: all to hosts
 * and small networks, and any to a network that vifd routes to; of all tables default routes, for the ways out, and those by a
 * gateway that an administrator or a DHCP client has set. All that these have set is kept by its table as well, for the rules that
 * lead there, and of the main table all to private networks, in which no guest is planned. A full routing table of the Internet is not kept.
 *
 * The kernel removes IPv4 routes without notification when their device goes down or their source address is no longer
 * on any device (fib_table_flush after fib_sync_down_addr), and proxy entries when their device goes down (pneigh_ifdown).
 * An entry that may be gone is deleted here; to add one again that still exists does no harm.
 */
export class RouteState implements RouteView {
  readonly #links: LinkView;
  readonly #losses: Losses;
  readonly #routes = new Map<string, KnownRoute[]>();
  readonly #index = new RouteIndex();
  readonly #macs = new Map<number, string>();
  readonly #rules = new RuleState();
  readonly #tables = new TableRoutes();
  /** What follows from the routes of others, computed when it is asked for. */
  #derived: { ways: Map<4 | 6, number[]>; nextHops?: NextHop[] } = { ways: new Map() };
  #neighbours = new NeighbourState();
  #proxies = new ProxyState();

  /**
   * @param links the devices and their addresses
   * @param losses told of devices whose entries may have gone
   */
  constructor(links: LinkView, losses = new Losses()) {
    this.#links = links;
    this.#losses = losses;
  }

  to(network: Network): Route | undefined {
    return this.#routes.get(formatNetwork(network))?.find(({ ours }) => ours);
  }

  before(network: Network): Route | undefined {
    const others = this.#routes.get(formatNetwork(network))?.filter(({ ours }) => !ours) ?? [];
    return others.filter(({ metric }) => metric < ourMetric).sort((a, b) => a.metric - b.metric)[0];
  }

  onDevice(index: number): Route[] {
    return this.#index.onDevice(index);
  }

  ours(): Route[] {
    return this.#index.ours();
  }

  defaultDevice(version: 4 | 6): number | undefined {
    const found = [...this.#index.others].filter(
      ({ to, table }) => table === mainTable && to.family === version && to.prefix === 0,
    );
    return found.sort((a, b) => a.metric - b.metric)[0]?.device;
  }

  waysOut(version: 4 | 6): readonly number[] {
    const known = this.#derived.ways.get(version);
    if (known !== undefined) return known;
    const rank = ({ table, to, metric }: KnownRoute): number =>
      (table === mainTable ? 0 : 2 ** 40) + to.prefix * 2 ** 34 + metric;
    const found = [...this.#index.others].filter(
      ({ to, device }) => device > 1 && to.family === version && isDefault(to),
    );
    const devices = [...new Set(found.sort((a, b) => rank(a) - rank(b)).map(({ device }) => device))];
    this.#derived.ways.set(version, devices);
    return devices;
  }

  rules(version: 4 | 6): readonly RoutingRule[] {
    return this.#rules.of(version);
  }

  inTable(table: number, network: Network): TableRoute | undefined {
    return this.#tables.find(table, network);
  }

  leadsElsewhere(address: Network): boolean {
    return this.#tables.leads(address, (device) => {
      // To a guest the stock scripts' own routes lead.
      const link = this.#links.byIndex(device);
      return link === undefined || vifOfLink(link) === undefined;
    });
  }

  nextHops(): readonly NextHop[] {
    this.#derived.nextHops ??= [...this.#index.others].flatMap(({ gateway, device }) =>
      gateway === undefined ? [] : [{ address: gateway, device }],
    );
    return this.#derived.nextHops;
  }

  neighbours(index: number): ReadonlyMap<string, string> {
    return this.#neighbours.of(index);
  }

  proxies(): ProxyEntry[] {
    return this.#proxies.all();
  }

  proxiesFor(address: string): ProxyEntry[] {
    return this.#proxies.ofAddress(address);
  }

  proxiesOf(owner: string): ProxyEntry[] {
    return this.#proxies.ofOwner(owner);
  }

  /** Applies one message. @returns the devices it is about, and the default route where it is about that */
  apply({ type, flags, data }: NetlinkMessage): News[] {
    switch (type) {
      case rtm.newLink:
      case rtm.delLink:
        return data.readUInt8(0) === family.unspec ? this.#applyLink(data, type === rtm.delLink) : [];
      case rtm.delAddr:
        return this.#addressGone(data);
      case rtmRoute.add:
      case rtmRoute.delete:
        return this.#applyRoute(data, type === rtmRoute.add, (flags & replace) !== 0);
      case rtmRule.add:
      case rtmRule.delete:
        return this.#rules.apply(type, data) ? [{ kind: 'rules' }] : [];
      case rtmNeigh.add:
      case rtmNeigh.delete:
        return this.#applyNeighbour(data, type === rtmNeigh.add);
      case rtmNewNetconf:
        return this.#applyNetconf(data);
      default:
        return [];
    }
  }

  /** Notes a route that vifd has set, in place of the one that had its network and metric. */
  setRoute(index: number, { to, source }: DesiredRoute): void {
    const key = formatNetwork(to);
    const others = (this.#routes.get(key) ?? []).filter(({ metric, ours }) => !ours && metric !== ourMetric);
    const route = {
      key: routeKey(ourMetric, index, undefined),
      to,
      device: index,
      metric: ourMetric,
      source,
      ours: true,
      table: mainTable,
      type: unicast,
      gateway: undefined,
      protocol: ourProtocol,
    };
    this.#keep(key, [...others, route]);
    this.#tables.apply([route], { added: true, replaced: true, kept: false });
  }

  /** Notes that vifd has deleted its route to a network by this device. */
  deleteRoute(index: number, to: Network): void {
    const key = formatNetwork(to);
    const left = (this.#routes.get(key) ?? []).filter(({ ours, device }) => !ours || device !== index);
    this.#keep(key, left);
  }

  /** Notes an entry that vifd has set or, with `mac` undefined, deleted. */
  setNeighbour(index: number, { address }: Network, mac: string | undefined): void {
    this.#neighbours.set(index, address, mac);
  }

  /** Our proxy entry for an address at a device. */
  proxy(device: number, address: Network): ProxyEntry | undefined {
    return this.#proxies.at(device, address);
  }

  /** Notes a proxy entry that vifd has set; the kernel announces proxy entries to no socket. */
  setProxy(proxy: ProxyEntry): void {
    this.#proxies.set(proxy);
  }

  /** Notes that vifd has announced a proxy entry's address. */
  proxyAnnounced(device: number, address: Network, carrier: number): void {
    this.#proxies.announce(device, address, carrier);
  }

  /** Notes that vifd has deleted a proxy entry. */
  deleteProxy(device: number, address: Network): void {
    this.#proxies.delete(device, address);
  }

  /** Takes over the neighbour and proxy entries of a newer state. */
  takeNeighbours(other: RouteState): void {
    other.takeOwners(this);
    this.#neighbours = other.#neighbours;
    this.#proxies = other.#proxies;
  }

  /**
   * Sets the owner of each proxy entry, which the kernel does not keep: the one noted in an older state, else the vif that
   * vifd's route to the address leads to.
   */
  takeOwners(older: RouteState): void {
    this.#proxies.takeOwners(older.#proxies, ({ address, device: at }) => {
      // At a vif it is for that one's guest, and elsewhere for the guest that has the address.
      const there = this.#links.byIndex(at);
      const vif = there && vifOfLink(there);
      if (vif !== undefined) return vif;
      const device = this.to(address)?.device ?? older.to(address)?.device;
      const link = device === undefined ? undefined : this.#links.byIndex(device);
      return link && vifOfLink(link);
    });
  }

  #applyLink(data: Buffer, gone: boolean): News[] {
    const index = data.readInt32LE(4);
    let mac: string | undefined;
    eachAttribute(data, 16, (type, at, length) => {
      if (type === ifla.address) mac = data.toString('hex', at, at + length);
    });
    const down = gone || (data.readUInt32LE(8) & iffUp) === 0;
    // A new MAC address of the device itself empties its neighbour table (neigh_changeaddr).
    if (down || this.#macs.get(index) !== mac) {
      this.#neighbours.forget(index);
      this.#losses.at(index);
    }
    if (gone || mac === undefined) this.#macs.delete(index);
    else this.#macs.set(index, mac);
    if (!down) return [];
    this.#proxies.forget(index);
    return this.#forget(({ device }) => device === index, this.#index.onDevice(index));
  }

  /**
   * Deletes what the kernel removes with an address, without notification. IPv4: with the last address of a device all its
   * routes, neighbour and proxy entries (fib_disable_ip, arp_ifdown); with the last device that has the address all routes
   * from it (fib_sync_down_addr). IPv6: the source of the device's routes (rt6_remove_prefsrc); with the link-local
   * address, which goes when IPv6 is switched off on the device, neighbour and proxy entries.
   */
  #addressGone(data: Buffer): News[] {
    const gone = decodeAddress(data);
    if (gone === undefined) return [];
    const { index, network } = gone;
    this.#losses.at(index);
    if (network.family === 6) {
      if (network.address.startsWith('fe80:')) this.#forgetNeighbours(index, 6);
      return this.#forget(
        ({ source, device }) => source === network.address && device === index,
        this.#index.onDevice(index),
      );
    }
    const isGone = (device: number, held: Network): boolean =>
      device === index && held.address === network.address && held.prefix === network.prefix;
    const isLeft = (link: Link, of: (held: Network) => boolean): boolean =>
      link.addresses.some((held) => of(held) && !isGone(link.index, held));
    const own = this.#links.byIndex(index);
    const isLastOfDevice = own === undefined || !isLeft(own, ({ family }) => family === 4);
    const isLastOfAddress = ![...this.#links.withAddress(network.address)].some((link) =>
      isLeft(link, ({ address }) => address === network.address),
    );
    if (isLastOfDevice) this.#forgetNeighbours(index, 4);
    return this.#forget(
      ({ to, source, device }) =>
        to.family === 4 &&
        ((isLastOfDevice && device === index) || (isLastOfAddress && source === network.address)),
      [...this.#index.onDevice(index), ...this.#index.from(network.address)],
    );
  }

  #forgetNeighbours(index: number, version: 4 | 6): void {
    this.#neighbours.forget(index, version);
    this.#proxies.forget(index, version);
  }

  /** Deletes routes that a test holds for. @param ours those of ours among which they are */
  #forget(test: (route: KnownRoute) => boolean, ours: readonly KnownRoute[]): News[] {
    const news: News[] = this.#tables.forget(test) ? [{ kind: 'rules' }] : [];
    const keys = new Set([...ours, ...this.#index.others].filter(test).map(keyOf));
    for (const key of keys) {
      const routes = this.#routes.get(key) ?? [];
      const going = routes.filter(test);
      this.#keep(
        key,
        routes.filter((route) => !going.includes(route)),
      );
      news.push(...going.flatMap((route) => this.#newsOf(route)));
    }
    return news;
  }

  /** Sets the routes of a network; one without routes is deleted, or networks of former guests would pile up. */
  #keep(key: string, routes: KnownRoute[]): void {
    const before = this.#routes.get(key) ?? [];
    if ([...before, ...routes].some(({ ours }) => !ours)) this.#derived = { ways: new Map() };
    for (const route of before) this.#index.delete(route);
    for (const route of routes) this.#index.add(route);
    if (routes.length > 0) this.#routes.set(key, routes);
    else this.#routes.delete(key);
  }

  #applyRoute(data: Buffer, added: boolean, replaced: boolean): News[] {
    const routes = decodeRoutes(data);
    const [first] = routes;
    if (first === undefined) return [];
    const ofTable = this.#applyToTable(routes, { added, replaced });
    // What refuses stands before ours in the main table, and is no way out.
    if (first.type !== unicast && (first.table !== mainTable || isDefault(first.to))) return ofTable;
    const key = keyOf(first);
    const known = this.#routes.get(key) ?? [];
    if (!isWorthKeeping(first) && known.length === 0) return ofTable;
    const isKept = isWorthKeeping(first) || known.some(({ ours }) => ours);
    const isSame = (one: KnownRoute): boolean => routes.some((route) => route.key === one.key);
    const going = known.filter(
      (other) => isSame(other) || (added && replaced && other.metric === first.metric),
    );
    const left = known.filter((other) => !going.includes(other));
    this.#keep(key, added && isKept ? [...left, ...routes] : left);
    const ours = known.filter((other) => other.ours && !going.includes(other));
    return [...ofTable, ...[...routes, ...going, ...ours].flatMap((one) => this.#newsOf(one))];
  }

  /** Keeps a route of others by its table. Of a table other than main it is news where a guest's address is in its network. */
  #applyToTable(routes: readonly KnownRoute[], change: Change): News[] {
    const [first] = routes;
    if (first === undefined) return [];
    const isAdministrators = isDefault(first.to) || fewProtocols.has(first.protocol);
    const kept = !first.ours && (isAdministrators || (first.table === mainTable && isPrivate(first.to)));
    // Whatever it is, it may have taken the place of one that is kept.
    this.#tables.apply(routes, { ...change, kept });
    if (!kept || first.table === mainTable) return [];
    return this.#index.ours().some(({ to }) => contains(first.to, to)) ? [{ kind: 'rules' }] : [];
  }

  /** What is news when a route has come or gone. */
  #newsOf(route: KnownRoute): News[] {
    const { device, ours, to, gateway } = route;
    if (!ours) {
      // A gateway that other routes have as well was there before, or stays.
      const isNextHop = gateway !== undefined && this.#index.byGatewayOf(route).length <= 1;
      return [
        ...(isDefault(to) ? [{ kind: 'default-route' } as const] : []),
        ...(isNextHop ? [{ kind: 'next-hops' } as const] : []),
      ];
    }
    const name = this.#links.byIndex(device)?.name;
    return [
      ...(name === undefined ? [] : [netdev(name)]),
      ...(to.family === 6 ? [{ kind: 'guests6' } as const] : []),
    ];
  }

  /** Entries of ours only. It is news that one has gone or has another MAC address; proxies are told of by dumps alone. */
  #applyNeighbour(data: Buffer, added: boolean): News[] {
    const entry = decodeNeighbour(data);
    if (entry === undefined) return [];
    const { index, address, proxy } = entry;
    if (proxy) {
      if (added) this.setProxy({ address, device: index, owner: undefined });
      return [];
    }
    const before = this.#neighbours.of(index).get(address.address);
    const mac = added && entry.permanent ? entry.mac : undefined;
    this.setNeighbour(index, address, mac);
    const name = this.#links.byIndex(index)?.name;
    return before === undefined || before === mac || name === undefined ? [] : [netdev(name)];
  }

  /** The device of an RTM_NEWNETCONF: its forwarding, proxy_arp, proxy_ndp or rp_filter has changed. `all` and `default` are below 0. */
  #applyNetconf(data: Buffer): News[] {
    let index = 0;
    eachAttribute(data, 4, (type, at) => {
      if (type === 1) index = data.readInt32LE(at);
    });
    if (index < 0) return [{ kind: 'forwarding' }];
    const name = this.#links.byIndex(index)?.name;
    return name === undefined ? [] : [netdev(name)];
  }
}

/** By what routes are kept: their network, and their table where it is another than main. */
const keyOf = ({ table, to }: KnownRoute): string =>
  `${table === mainTable ? '' : `${table} `}${formatNetwork(to)}`;

/** The longest prefixes that a full table of the Internet has. */
const longestOfInternet = { 4: 24, 6: 64 };

/** RFC 1918, 6598 and 4193: what no table of the Internet has. */
const privateNetworks: readonly Network[] = [
  { family: 4, address: '10.0.0.0', prefix: 8 },
  { family: 4, address: '100.64.0.0', prefix: 10 },
  { family: 4, address: '172.16.0.0', prefix: 12 },
  { family: 4, address: '192.168.0.0', prefix: 16 },
  { family: 6, address: 'fc00::', prefix: 7 },
];

const isPrivate = (network: Network): boolean => privateNetworks.some((one) => contains(one, network));

const isWorthKeeping = ({ ours, to, table, gateway, protocol }: KnownRoute): boolean =>
  ours ||
  isDefault(to) ||
  (table === mainTable && to.prefix > longestOfInternet[to.family]) ||
  (gateway !== undefined && fewProtocols.has(protocol));
