import { contains, isHost, isWholeNetwork, type Network, networkOf } from '../../model/address.js';
import { noIp } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Sysctl } from '../../model/sysctl.js';

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
