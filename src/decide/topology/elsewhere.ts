import { contains, hostOf, isHost, type Network, networkOf } from '../../model/address.js';
import { noIp } from '../../model/ip.js';
import type { ObservedState } from '../../model/observed.js';

/** Whether an address lies in a network that a device of this domain is in, so that it may be another host's. */
export const isElsewhere = (address: Network, { links }: ObservedState): boolean =>
  [...links.ofDomain()].some((link) =>
    link.addresses.some((held) => !isHost(held) && contains(networkOf(held), hostOf(address))),
  );

/** Whether this domain is told by a route where the hosts of a network with this address are, as by a VPN's. */
export const isRoutedAway = (address: Network, { ip = noIp }: ObservedState): boolean =>
  ip.routes.leadsElsewhere(hostOf(address));
