import { formatIpv4, formatIpv6, formatNetwork, type Network } from '../vif/address.js';
import { defaultRoute, ourProtocol, type ProxyEntry, type Route, type RouteView } from '../vif/ip.js';
import type { LinkView } from '../vif/observed.js';
import { family, ifa, iffUp, ifla, rtm } from './link-state.js';
import { type NetlinkMessage, parseAttributes } from './netlink-format.js';

// Numbers of linux/rtnetlink.h, linux/neighbour.h and linux/netconf.h.
export const rtmRoute = { add: 24, delete: 25, get: 26 };
export const rtmNeigh = { add: 28, delete: 29, get: 30 };
const rtmNewNetconf = 80;
export const rta = { dst: 1, oif: 4, gateway: 5, priority: 6, prefsrc: 7, multipath: 9, table: 15 };
export const nda = { dst: 1, lladdr: 2, protocol: 12 };
export const tableMain = 254;
export const unicast = 1;
export const nudPermanent = 0x80;
export const ntfProxy = 0x08;
export const replace = 0x100;

interface KnownRoute extends Route {
  /** What tells routes to one network apart. */
  readonly key: string;
}

/**
 * Our routes, neighbour and proxy entries, and the default routes, that a sequence of rtnetlink messages tells of.
 *
 * The kernel removes much without a word: IPv4 routes when their device goes down or their source address goes
 * (fib_table_flush), and proxy entries when their device goes down (pneigh_ifdown). Whatever may be gone is forgotten
 * here: to put a thing back that is still there does no harm.
 */
export class RouteState implements RouteView {
  readonly #links: LinkView;
  readonly #routes = new Map<string, KnownRoute[]>();
  readonly #macs = new Map<number, string>();
  #neighbours = new Map<number, Map<string, string>>();
  #proxies = new Map<string, ProxyEntry>();

  /** @param links names the devices */
  constructor(links: LinkView) {
    this.#links = links;
  }

  to(network: Network): Route | undefined {
    return this.#routes.get(formatNetwork(network))?.find(({ ours }) => ours);
  }

  onDevice(index: number): Route[] {
    return this.#where(({ device, ours }) => ours && device === index);
  }

  defaultDevice(version: 4 | 6): number | undefined {
    const found = this.#where(({ to, ours }) => !ours && to.family === version && to.prefix === 0);
    return found.sort((a, b) => a.metric - b.metric)[0]?.device;
  }

  neighbours(index: number): ReadonlyMap<string, string> {
    return this.#neighbours.get(index) ?? new Map();
  }

  proxies(): ProxyEntry[] {
    return [...this.#proxies.values()];
  }

  /** Takes one message in and returns the names of the devices it concerns, and {@link defaultRoute} where it does. */
  apply({ type, flags, data }: NetlinkMessage): string[] {
    switch (type) {
      case rtm.newLink:
      case rtm.delLink:
        return data.readUInt8(0) === family.unspec ? this.#applyLink(data, type === rtm.delLink) : [];
      case rtm.delAddr:
        return data.readUInt8(0) === family.inet ? this.#addressGone(data) : [];
      case rtmRoute.add:
      case rtmRoute.delete:
        return this.#applyRoute(data, type === rtmRoute.add, (flags & replace) !== 0);
      case rtmNeigh.add:
        return this.#applyNeighbour(data);
      case rtmNewNetconf:
        return this.#applyNetconf(data);
      default:
        return [];
    }
  }

  /** What a request of ours did, which the kernel does not announce to us. */
  setNeighbour(index: number, { address }: Network, mac: string | undefined): void {
    const of = this.#neighbours.get(index) ?? new Map<string, string>();
    this.#neighbours.set(index, of);
    if (mac === undefined) of.delete(address);
    else of.set(address, mac);
  }

  /** What a request of ours did, which the kernel does not announce to anybody. */
  setProxy(proxy: ProxyEntry, there: boolean): void {
    const key = `${proxy.device} ${proxy.address.address}`;
    if (there) this.#proxies.set(key, proxy);
    else this.#proxies.delete(key);
  }

  /** Takes over what another sequence of messages, a newer one, told of neighbour and proxy entries. */
  takeNeighbours(other: RouteState): void {
    this.#neighbours = other.#neighbours;
    this.#proxies = other.#proxies;
  }

  #where(test: (route: KnownRoute) => boolean): KnownRoute[] {
    return [...this.#routes.values()].flatMap((routes) => routes.filter(test));
  }

  #applyLink(data: Buffer, gone: boolean): string[] {
    const index = data.readInt32LE(4);
    let mac: string | undefined;
    parseAttributes(data.subarray(16), ({ type, data: value }) => {
      if (type === ifla.address) mac = value.toString('hex');
    });
    const down = gone || (data.readUInt32LE(8) & iffUp) === 0;
    // A new MAC address of the device itself empties its neighbour table (neigh_changeaddr).
    if (down || this.#macs.get(index) !== mac) this.#neighbours.delete(index);
    if (gone || mac === undefined) this.#macs.delete(index);
    else this.#macs.set(index, mac);
    if (!down) return [];
    for (const proxy of this.proxies()) if (proxy.device === index) this.setProxy(proxy, false);
    return this.#forget(({ device }) => device === index);
  }

  #addressGone(data: Buffer): string[] {
    let gone: string | undefined;
    parseAttributes(data.subarray(8), ({ type, data: value }) => {
      if (type === ifa.local) gone = format(4, value);
    });
    return this.#forget(({ source }) => source !== undefined && source === gone);
  }

  #forget(test: (route: KnownRoute) => boolean): string[] {
    const names: string[] = [];
    for (const [key, routes] of this.#routes) {
      const going = routes.filter(test);
      if (going.length === 0) continue;
      names.push(...going.flatMap((route) => this.#namesOf(route)));
      this.#keep(
        key,
        routes.filter((route) => !going.includes(route)),
      );
    }
    return names;
  }

  /** No network stays without a route: every guest that ever was would have one. */
  #keep(key: string, routes: KnownRoute[]): void {
    if (routes.length > 0) this.#routes.set(key, routes);
    else this.#routes.delete(key);
  }

  #applyRoute(data: Buffer, added: boolean, replaced: boolean): string[] {
    const route = decodeRoute(data);
    if (route === undefined) return [];
    const key = formatNetwork(route.to);
    const known = this.#routes.get(key) ?? [];
    const going = known.filter(
      (other) => other.key === route.key || (added && replaced && other.metric === route.metric),
    );
    const left = known.filter((other) => !going.includes(other));
    if (added) left.push(route);
    this.#keep(key, left);
    return [route, ...going].flatMap((one) => this.#namesOf(one));
  }

  #namesOf({ device, ours }: Route): string[] {
    const name = this.#links.byIndex(device)?.name;
    return [...(ours ? [] : [defaultRoute]), ...(ours && name !== undefined ? [name] : [])];
  }

  #applyNeighbour(data: Buffer): string[] {
    const version = versionOf(data.readUInt8(0));
    const permanent = (data.readUInt16LE(8) & nudPermanent) !== 0;
    const proxy = (data.readUInt8(10) & ntfProxy) !== 0;
    if (version === undefined || !(permanent || proxy)) return [];
    const index = data.readInt32LE(4);
    let address: Network | undefined;
    let mac: string | undefined;
    let ours = false;
    parseAttributes(data.subarray(12), ({ type, data: value }) => {
      if (type === nda.dst) address = host(version, value);
      else if (type === nda.lladdr) mac = value.toString('hex').replace(/(..)(?=.)/g, '$1:');
      else if (type === nda.protocol) ours = value.readUInt8(0) === ourProtocol;
    });
    if (!ours || address === undefined) return [];
    if (proxy) this.setProxy({ address, device: index }, true);
    else this.setNeighbour(index, address, mac);
    return [];
  }

  /** Somebody has changed forwarding, proxy_arp, proxy_ndp or rp_filter of a device. */
  #applyNetconf(data: Buffer): string[] {
    let name: string | undefined;
    parseAttributes(data.subarray(4), ({ type, data: value }) => {
      if (type === 1) name = this.#links.byIndex(value.readInt32LE(0))?.name;
    });
    return name === undefined ? [] : [name];
  }
}

/** A unicast route of the main table that is ours, or a default route; undefined for any other. */
function decodeRoute(data: Buffer): KnownRoute | undefined {
  const version = versionOf(data.readUInt8(0));
  const prefix = data.readUInt8(1);
  const ours = data.readUInt8(5) === ourProtocol;
  if (version === undefined || data.readUInt8(7) !== unicast || !(ours || prefix === 0)) return undefined;
  let table = data.readUInt8(4);
  let device = 0;
  let metric = 0;
  let gateway = '';
  let source: string | undefined;
  let address = version === 4 ? '0.0.0.0' : '::';
  parseAttributes(data.subarray(12), ({ type, data: value }) => {
    if (type === rta.table) table = value.readUInt32LE(0);
    else if (type === rta.dst) address = format(version, value);
    else if (type === rta.oif) device = value.readInt32LE(0);
    // The first of several next hops (struct rtnexthop): one is enough to know where "out" is.
    else if (type === rta.multipath) device = value.readInt32LE(4);
    else if (type === rta.priority) metric = value.readUInt32LE(0);
    else if (type === rta.gateway) gateway = value.toString('hex');
    else if (type === rta.prefsrc) source = format(version, value);
  });
  if (table !== tableMain) return undefined;
  const key = `${metric} ${device} ${gateway}`;
  return { key, to: { family: version, address, prefix }, device, metric, source, ours };
}

const versionOf = (number: number): 4 | 6 | undefined =>
  number === family.inet ? 4 : number === family.inet6 ? 6 : undefined;

function format(version: 4 | 6, bytes: Buffer): string {
  const value = BigInt(`0x${bytes.toString('hex')}`);
  return version === 4 ? formatIpv4(value) : formatIpv6(value);
}

const host = (version: 4 | 6, bytes: Buffer): Network => ({
  family: version,
  address: format(version, bytes),
  prefix: version === 4 ? 32 : 128,
});
