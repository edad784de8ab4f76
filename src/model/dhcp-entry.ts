import { addressValue, contains, formatAddress, hostOf, type Network } from './address.js';

/** What a guest is told by DHCP. */
export interface DhcpHost {
  readonly vif: string;
  /** The netdev's name: dnsmasq tags a request with the interface it came in by. */
  readonly device: string;
  readonly mac: string;
  readonly guest: Network;
  readonly router: string;
  /** Resolvers. */
  readonly dns: readonly string[];
  /** Whether this domain's dnsmasq answers for names where the router is the resolver. */
  readonly servesNames: boolean;
  readonly ntp: readonly string[];
  readonly hostname: string | undefined;
  readonly domain: string | undefined;
  readonly mtu: number | undefined;
}

/** Long enough not to be heard of, short enough for a change of `[nat] dns` to arrive within a day. */
const lease = '12h';

/**
 * What dnsmasq reads of a vif: a line for its `--dhcp-hostsdir`, then those for its `--dhcp-optsdir`. A request is
 * answered only when both the MAC address and the vif are right, so no guest gets another one's lease.
 */
export function dhcpEntry(host: DhcpHost): string {
  const { device, mac, guest, router, dns, servesNames, ntp, hostname, domain, mtu } = host;
  const all = 0xffffffffn;
  const mask = (all << BigInt(32 - guest.prefix)) & all;
  const isOnLink = contains(guest, hostOf({ family: 4, address: router }));
  // Without one at all it is said to be none: dnsmasq would name itself.
  const resolvers = [['option:dns-server', dns.join(',')]];
  const options = [
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
  return [
    `${mac},tag:${device},${guest.address},${hostname === undefined ? '' : `${hostname},`}${lease}`,
    ...options.map(([name, value]) => `tag:${device},${name}${value === '' ? '' : `,${value}`}`),
    '',
  ].join('\n');
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
  /,option:router,([^,\n]+)\n(?:.*\n)*.*,option:dns-server,\1\n/.test(entry);
