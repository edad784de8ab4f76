import { addressValue, contains, formatAddress, hostOf, type Network, ofFamily } from './address.js';
import { servingRouter } from './router-addresses.js';

/** What a guest is told by DHCP. */
export interface DhcpHost {
  readonly vif: string;
  /** The netdev's name: dnsmasq tags a request with the interface it came in by. */
  readonly device: string;
  readonly mac: string;
  /** Undefined where it is leased no IPv4 address. */
  readonly v4: Lease4 | undefined;
  /** Undefined where no router advertisement tells it of DHCPv6. */
  readonly v6: Lease6 | undefined;
  readonly ntp: readonly string[];
  readonly hostname: string | undefined;
  readonly domain: string | undefined;
  readonly mtu: number | undefined;
}

/** The address that a guest is leased, with the prefix length of its network, and what it needs besides. */
export interface Lease4 {
  readonly guest: Network;
  readonly router: string;
  /** Resolvers. */
  readonly dns: readonly string[];
  /** Whether this domain's dnsmasq answers for names where the router is the resolver. */
  readonly servesNames: boolean;
}

/** The addresses that a guest is given by DHCPv6, each as a host, and its resolvers. */
export interface Lease6 {
  readonly guests: readonly Network[];
  readonly dns: readonly string[];
}

/** Long enough not to be heard of, short enough for a change of `[nat] dns` to arrive within a day. */
export const lease = '12h';

/**
 * What dnsmasq reads of a vif: a line for its `--dhcp-hostsdir`, then those for its `--dhcp-optsdir`. A request is
 * answered only when both the MAC address and the vif are right, so no guest gets another one's lease.
 */
export function dhcpEntry({ device, mac, v4, v6, ntp, hostname, domain, mtu }: DhcpHost): string {
  const [ntp4, ntp6] = ([4, 6] as const).map((family) => ofFamily(ntp, family));
  const options = [
    ...(v4 === undefined ? [] : options4(v4, { ntp: ntp4, domain, mtu })),
    ...(v6 === undefined ? [] : options6(v6, { ntp: ntp6, domain })),
  ];
  const addresses = [
    ...(v4 === undefined ? [] : [v4.guest.address]),
    ...(v6?.guests ?? []).map(({ address }) => `[${address}]`),
  ];
  return [
    [mac, `tag:${device}`, ...addresses, ...(hostname === undefined ? [] : [hostname]), lease].join(','),
    ...options.map(([name, value]) => `tag:${device},${name}${value === '' ? '' : `,${value}`}`),
    '',
  ].join('\n');
}

interface Told {
  readonly ntp: readonly string[] | undefined;
  readonly domain: string | undefined;
}

function options4(
  { guest, router, dns, servesNames }: Lease4,
  { ntp = [], domain, mtu }: Told & Pick<DhcpHost, 'mtu'>,
): string[][] {
  const all = 0xffffffffn;
  const mask = (all << BigInt(32 - guest.prefix)) & all;
  const isOnLink = contains(guest, hostOf({ family: 4, address: router }));
  // Without one at all it is said to be none: dnsmasq would name itself.
  const resolvers = [['option:dns-server', dns.join(',')]];
  return [
    ['option:netmask', formatAddress(4, mask)],
    // The broadcast address has no name in every version; that of one address has none.
    ...(guest.prefix < 31 ? [['28', formatAddress(4, addressValue(guest) | (all ^ mask))]] : []),
    // Before the router where that is somebody else's resolver: see asksRouter.
    ...(servesNames ? [] : resolvers),
    ['option:router', router],
    // A router outside of the guest's network needs a route of its own (RFC 3442), and then the first one counts no more.
    ...(isOnLink ? [] : [['121', `${router}/32,0.0.0.0,0.0.0.0/0,${router}`]]),
    ...(servesNames ? resolvers : []),
    ...(ntp.length > 0 ? [['option:ntp-server', ntp.join(',')]] : []),
    ...(domain === undefined ? [] : [['option:domain-name', domain]]),
    ...(mtu === undefined ? [] : [['option:mtu', `${mtu}`]]),
  ];
}

/** The router and the MTU are in the advertisements, where dnsmasq puts the resolvers and the domain as well. */
function options6({ dns }: Lease6, { ntp = [], domain }: Told): string[][] {
  const list = (addresses: readonly string[]): string => addresses.map((one) => `[${one}]`).join(',');
  return [
    ['option6:dns-server', list(dns)],
    ...(ntp.length > 0 ? [['option6:ntp-server', list(ntp)]] : []),
    ...(domain === undefined ? [] : [['option6:domain-search', domain]]),
  ];
}

/** The two files an entry is kept in. */
export function splitEntry(entry: string): { host: string; options: string } {
  const end = entry.indexOf('\n') + 1;
  return { host: entry.slice(0, end), options: entry.slice(end) };
}

/** The device an entry is for. */
export const deviceOfEntry = (entry: string): string | undefined => /,tag:([^,]+),/.exec(entry)?.[1];

/** Whether an entry gives the router as the resolver, which this domain's dnsmasq then is. */
export const asksRouter = (entry: string): boolean =>
  /,option:router,([^,\n]+)\n(?:.*\n)*.*,option:dns-server,\1\n/.test(entry) ||
  entry.includes(`,option6:dns-server,[${servingRouter.address}]\n`);

/** Whether an entry has an IPv4 address. */
export const leases4 = (entry: string): boolean => entry.includes(',option:router,');

/** The MAC address that an entry is for. */
export const macOfEntry = (entry: string): string | undefined => /^[^,]+/.exec(entry)?.[0];

/** The IPv4 address of an entry, if it has one. */
export const addresses4Of = (entry: string): string[] => ofFamily(splitEntry(entry).host.split(','), 4);

/** The IPv6 addresses of an entry. */
export const addresses6Of = (entry: string): string[] =>
  [...splitEntry(entry).host.matchAll(/\[([^\]]+)\]/g)].map(([, address = '']) => address);
