import { addressValue, formatAddress, type Network } from './address.js';

/** What a guest is told by DHCP. */
export interface DhcpHost {
  readonly vif: string;
  /** The netdev's name: dnsmasq tags a request with the interface it came in by. */
  readonly device: string;
  readonly mac: string;
  readonly guest: Network;
  readonly router: string;
  /** Resolvers; none means the router, which asks those of this domain. */
  readonly dns: readonly string[];
}

/** Long enough not to be heard of, short enough for a change of `[nat] dns` to arrive within a day. */
const lease = '12h';

/**
 * What dnsmasq reads of a vif: a line for its `--dhcp-hostsdir`, then those for its `--dhcp-optsdir`. A request is
 * answered only when both the MAC address and the vif are right, so no guest gets another one's lease.
 */
export function dhcpEntry({ device, mac, guest, router, dns }: DhcpHost): string {
  const all = 0xffffffffn;
  const mask = (all << BigInt(32 - guest.prefix)) & all;
  const options = [
    ['option:netmask', formatAddress(4, mask)],
    // The broadcast address has no name in every version.
    ['28', formatAddress(4, addressValue(guest) | (all ^ mask))],
    ['option:router', router],
    ['option:dns-server', dns.length > 0 ? dns.join(',') : router],
  ];
  return [
    `${mac},tag:${device},${guest.address},${lease}`,
    ...options.map(([name, value]) => `tag:${device},${name},${value}`),
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

/** Whether an entry gives the router as the resolver. */
export const asksRouter = (entry: string): boolean =>
  /,option:router,([^,\n]+)\n(?:.*\n)*.*,option:dns-server,\1\n/.test(entry);
