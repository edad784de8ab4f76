import {
  contains,
  formatNetwork,
  hostOf,
  isHost,
  isWholeNetwork,
  type Network,
  networkOf,
} from '../../model/address.js';
import { type IpState, noIp, routerLinkLocal } from '../../model/ip.js';
import { type Link, type LinkView, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Sysctl } from '../../model/sysctl.js';
import { vifName } from '../../model/vif-id.js';
import { isPreferred, type Twins } from '../twins.js';

// What vif-route and vif-nat have in common: a vif that is an interface of a router.

/** The name the vif's netdev has, or will have. */
export const deviceName = (snapshot: VifSnapshot): string => snapshot.vifname ?? vifName(snapshot.id);

/** The least MTU at which a device has IPv6 (RFC 8200, 5); below it the kernel takes it away, sysctls and all. */
const leastIpv6Mtu = 1280;

/** Why there can be no IPv6 on a vif; undefined when there can. */
export function whyNoIpv6(
  snapshot: VifSnapshot,
  { links, ip = noIp }: ObservedState,
): OperationError | undefined {
  const { id } = snapshot;
  const netdev = links.ofVif(id);
  const name = netdev?.name ?? deviceName(snapshot);
  const mtu = snapshot.mtu ?? netdev?.mtu ?? leastIpv6Mtu;
  const lacking = (reason: string): OperationError =>
    problem('ipv6-unavailable', `give ${vifName(id)} IPv6 on`, name, reason);
  if (mtu < leastIpv6Mtu)
    return lacking(`its MTU ${mtu} is below ${leastIpv6Mtu}, the least for IPv6; raise the mtu key`);
  if (!hasIpv6(ip)) return lacking('this kernel has no IPv6, or it is switched off');
  const disabled = `net/ipv6/conf/${name}/disable_ipv6`;
  if (ip.sysctl(disabled) !== '1') return undefined;
  return lacking(
    `IPv6 is switched off there; run: sysctl -w ${disabled}=0, and net/ipv6/conf/default/disable_ipv6=0`,
  );
}

/** What stands before our routes to these networks, which the kernel then sends elsewhere. */
export function overruled(
  { id }: VifSnapshot,
  networks: readonly Network[],
  { links, ip = noIp }: ObservedState,
): OperationError[] {
  return networks.flatMap((network) => {
    const route = ip.routes.before(network);
    if (route === undefined) return [];
    const to = formatNetwork(network);
    const device = links.byIndex(route.device)?.name;
    const where = device === undefined ? 'is refused' : `leads to ${device}`;
    const remedy = `ip route delete ${to} metric ${route.metric}`;
    const reason = `another route, of metric ${route.metric}, goes before ours and ${where}; if nothing needs it: ${remedy}`;
    return [problem('route-overruled', `route ${vifName(id)}`, to, reason)];
  });
}

/** Whether IPv6 is in this kernel and switched on. */
export const hasIpv6 = (ip: IpState): boolean => ip.sysctl('net/ipv6/conf/all/forwarding') !== undefined;

/**
 * The sysctls with which a vif is an interface of a router, and `outside` the other one: forwarding for these two and
 * not for the whole machine, so that a driver domain with more networks does not begin to join them.
 *
 * IPv6 forwards only when `all` does (ip6_forward), and that makes every device ignore router advertisements, unless
 * accept_ra is 2: a device that lives by them is told so first, or the domain would lose its default route.
 */
export function routerSysctls(
  vif: string,
  outside: readonly (Link | undefined)[],
  proxied: Link | undefined,
  { links, ip }: { links: LinkView; ip: IpState },
  version6: boolean,
): Sysctl[] {
  const v4 = (device: string, key: string, value: string): Sysctl => ({
    name: `net/ipv4/conf/${device}/${key}`,
    value,
  });
  const v6 = (device: string, key: string, value: string): Sysctl => ({
    name: `net/ipv6/conf/${device}/${key}`,
    value,
  });
  const others = [...new Set(outside.flatMap((link) => (link ? [link.name] : [])))];
  return [
    v4(vif, 'forwarding', '1'),
    v4(vif, 'proxy_arp', '1'),
    // Redirects of a guest are not followed: it is not a router of this domain.
    v4(vif, 'accept_redirects', '0'),
    // Proxied answers are held back for up to 0.8 s otherwise, which a guest's first packet would wait.
    { name: `net/ipv4/neigh/${vif}/proxy_delay`, value: '0' },
    ...others.map((name) => v4(name, 'forwarding', '1')),
    ...(hasIpv6(ip) ? [v6(vif, 'accept_ra', '0')] : []),
    ...(version6 && hasIpv6(ip)
      ? [
          ...advertised(ip, links, others)
            .filter((name) => ['1', '2'].includes(ip.sysctl(`net/ipv6/conf/${name}/accept_ra`) ?? ''))
            .map((name) => v6(name, 'accept_ra', '2')),
          v6('all', 'forwarding', '1'),
          v6(vif, 'forwarding', '1'),
          ...(proxied ? [v6(proxied.name, 'forwarding', '1'), v6(proxied.name, 'proxy_ndp', '1')] : []),
        ]
      : []),
  ];
}

/** The devices that may have their default route from router advertisements. */
function advertised({ routes }: IpState, links: LinkView, outside: readonly string[]): string[] {
  const names = routes.waysOut(6).map((index) => links.byIndex(index)?.name);
  return [...new Set([...outside, ...names.filter((name) => name !== undefined)])];
}

/** The addresses by which a vif is a router to IPv6 guests. */
export const linkLocalRouter: Network = { family: 6, address: routerLinkLocal, prefix: 64 };

export const hosts = (networks: readonly Network[]): Network[] => networks.filter(isHost);

/** The device other than `own` that holds an address of the domain itself. */
export function holderOf(address: string, own: string, { links }: ObservedState): Link | undefined {
  for (const link of links.all()) {
    if (link.name !== own && link.addresses.some((held) => held.address === address)) return link;
  }
  return undefined;
}

/** Another vif's netdev to which our route for this network leads. */
export function routedElsewhere(
  network: Network,
  own: Link | undefined,
  { links }: ObservedState,
  { routes }: IpState,
): Link | undefined {
  const there = routes.to(network)?.device;
  return there === undefined || there === own?.index ? undefined : links.byIndex(there);
}

/**
 * Tells of a network whether it is a twin's to have, for the vif with this netdev. One that leads to the vif stays until the
 * twin has taken it, so that it is never without a way.
 */
export function atTwin(
  own: Link | undefined,
  twins: Twins,
  networks: readonly Network[],
  { routes }: IpState,
): (network: Network) => boolean {
  const leadsTo = ({ index }: Link, network: Network): boolean => routes.to(network)?.device === index;
  const preferred = isPreferred(own, twins, (link) => networks.some((network) => leadsTo(link, network)));
  return (network) => !preferred && !(own !== undefined && leadsTo(own, network));
}

/** The device the default route leads through. */
export function defaultLink(version: 4 | 6, links: LinkView, { routes }: IpState): Link | undefined {
  const index = routes.defaultDevice(version);
  return index === undefined ? undefined : links.byIndex(index);
}

/** The devices that any default route leads through. */
export const waysOut = (version: 4 | 6, links: LinkView, { routes }: IpState): Link[] =>
  routes
    .waysOut(version)
    .map((index) => links.byIndex(index))
    .filter((link) => link !== undefined);

/** A gateway or resolver of this domain that a route of ours would hide, and what it is. */
interface Hidden {
  readonly network: Network;
  readonly address: string;
  readonly what: string;
}

/**
 * What our routes to these networks would keep the domain itself from reaching: a host's route goes before that of the network
 * the host is in. A gateway by a vif is a guest that routes.
 */
export function hidden(networks: readonly Network[], { links, ip = noIp }: ObservedState): Hidden[] {
  const byVif = (index: number): boolean => {
    const link = links.byIndex(index);
    return link !== undefined && vifOfLink(link) !== undefined;
  };
  const vital = [
    ...ip.routes
      .nextHops()
      .filter(({ device }) => !byVif(device))
      .map(({ address, device }) => ({
        address,
        what: `the next hop of a route by ${links.byIndex(device)?.name ?? 'another device'}`,
      })),
    ...ip.resolvers.map((address) => ({
      address: hostOf({ family: address.includes(':') ? 6 : 4, address }),
      what: 'a resolver of this domain',
    })),
  ];
  const isNearer = (network: Network, address: Network): boolean =>
    [...links.all()].some(
      (link) =>
        vifOfLink(link) === undefined &&
        link.addresses.some(
          (held) => !isHost(held) && held.prefix >= network.prefix && contains(networkOf(held), address),
        ),
    );
  return networks.flatMap((network) =>
    vital
      .filter(({ address }) => contains(network, address) && (isHost(network) || !isNearer(network, address)))
      .map(({ address, what }) => ({ network, address: address.address, what })),
  );
}

/** Why the domain itself needs one of these addresses; undefined when it needs none. */
export function whyNeeded(
  networks: readonly Network[],
  { id }: VifSnapshot,
  observed: ObservedState,
): OperationError | undefined {
  const [first] = hidden(networks, observed);
  if (first === undefined) return undefined;
  const { network, address, what } = first;
  const reason = `${isHost(network) ? 'it' : address} is ${what}, which could no longer be reached; give the guest another`;
  return problem('address-needed', `give ${vifName(id)} the address`, formatNetwork(network), reason);
}

/**
 * The addresses of other guests in the networks that a guest takes to be on its link, by the lengths that its addresses have. For
 * IPv6 the kernel answers for each by an entry of its own, where for IPv4 proxy_arp is for all.
 */
export function onLinkOf(
  { ip: entries }: VifSnapshot,
  own: Link | undefined,
  { ip = noIp }: ObservedState,
): Network[] {
  const networks = entries.filter(tellsNetwork6);
  const of = new Set(entries.map(({ address }) => address));
  if (networks.length === 0) return [];
  return ip.routes
    .ours()
    .filter(({ to, device }) => isHost(to) && device !== own?.index && !of.has(to.address))
    .map(({ to }) => to)
    .filter((to) => networks.some((network) => contains(networkOf(network), to)))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** Whether a guest takes other IPv6 addresses than its own to be on its link. */
export const hasOnLink = ({ ip }: VifSnapshot): boolean => ip.some(tellsNetwork6);

const tellsNetwork6 = (entry: Network): boolean =>
  entry.family === 6 && !isHost(entry) && !isWholeNetwork(entry);

/** The sysctls with which a vif answers neighbour solicitations for other guests, at once. */
export const onLinkSysctls = (vif: string): Sysctl[] => [
  { name: `net/ipv6/conf/${vif}/proxy_ndp`, value: '1' },
  { name: `net/ipv6/neigh/${vif}/proxy_delay`, value: '0' },
];
