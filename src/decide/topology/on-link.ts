import {
  contains,
  formatNetwork,
  isHost,
  isWholeNetwork,
  type Network,
  networkOf,
} from '../../model/address.js';
import { noIp } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Sysctl } from '../../model/sysctl.js';
import { vifName } from '../../model/vif-id.js';
import { answering } from './router-sysctls.js';

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

/**
 * What a guest does not reach whose address has the length of the gateway device's network: it takes the hosts there to be on its
 * link, and the kernel answers neighbour solicitations for single addresses only.
 */
export function unreachedOnLink(
  { id, ip }: VifSnapshot,
  gateway: Pick<Link, 'name' | 'addresses'> | undefined,
): OperationError[] {
  const shared = ip
    .filter(tellsNetwork6)
    .find((entry) =>
      gateway?.addresses.some((held) => !isHost(held) && overlap(networkOf(entry), networkOf(held))),
    );
  if (shared === undefined || gateway === undefined) return [];
  const reason =
    `by this length the guest asks on its own link for the hosts at ${gateway.name}, which IPv6 cannot answer for as proxy_arp does; ` +
    `give ${shared.address} by ip and in the guest, with the router fe80::1`;
  return [problem('ipv6-on-link', `route ${vifName(id)}`, formatNetwork(shared), reason)];
}

const overlap = (one: Network, other: Network): boolean => contains(one, other) || contains(other, one);

const tellsNetwork6 = (entry: Network): boolean =>
  entry.family === 6 && !isHost(entry) && !isWholeNetwork(entry);

/** The sysctls with which a vif answers neighbour solicitations for other guests, at once. */
export const onLinkSysctls = (vif: string): Sysctl[] => [
  ...answering(vif),
  { name: `net/ipv6/neigh/${vif}/proxy_delay`, value: '0' },
];
