import { contains, hostOf, type Network, ofFamily } from '../../model/address.js';
import type { GuestKeys } from '../../model/guest-keys.js';
import { routerLinkLocal } from '../../model/ip.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { TopologyName } from '../../model/topology-name.js';
import { linkLocalRouter } from './routed-link.js';

/** What is known of a guest's network. */
interface GuestNetwork {
  /** Its own addresses of both families; those of IPv4 with the prefix lengths that it is to configure. */
  readonly guests: readonly Network[];
  /** Its router by IPv4; for IPv6 that is fe80::1. */
  readonly router: string | undefined;
  readonly resolvers: readonly string[];
}

const linkLocal = { ...linkLocalRouter, prefix: 10 };

/** What a guest finds in xenstore, for its field of the desired state: absent where nothing is written there. */
export function guestKeysOf(
  { mtu }: VifSnapshot,
  topology: TopologyName & ('nat' | 'route'),
  config: VifPolicy,
  { guests, router, resolvers }: GuestNetwork,
): { guestKeys?: GuestKeys } {
  if (!config[topology].guestKeys) return {};
  const listed = (own: readonly Network[]): string =>
    own.map(({ address, prefix }) => `${address}/${prefix}`).join(' ');
  const v4 = listed(guests.filter(({ family }) => family === 4));
  // As hosts, by which a guest asks its router for all others; of link-local ones it chooses its own.
  const v6 = listed(guests.map(hostOf).filter((host) => host.family === 6 && !contains(linkLocal, host)));
  const asked = [...(v4 ? ofFamily(resolvers, 4) : []), ...(v6 ? ofFamily(resolvers, 6) : [])];
  const keys: GuestKeys = {
    ...(v4 && { ip: v4, ...(router && { gateway: router }) }),
    ...(v6 && { ip6: v6, gateway6: routerLinkLocal }),
    ...(asked.length > 0 && { resolver: asked.join(' ') }),
    ...(mtu !== undefined && { mtu: `${mtu}` }),
  };
  return Object.keys(keys).length > 0 ? { guestKeys: keys } : {};
}
