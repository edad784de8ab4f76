import {
  addressValue,
  contains,
  formatAddress,
  hostOf,
  type Network,
  networkOf,
} from '../../model/address.js';
import type { IpState } from '../../model/ip.js';
import type { ObservedState } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Twins } from '../twins.js';
import { hidden } from './domain-needs.js';
import { isElsewhere } from './elsewhere.js';
import { claimant } from './nat-conflict.js';
import { routerOf } from './nat-router.js';
import { holderOf, routedElsewhere } from './routed-link.js';

/**
 * The router's address for a guest whose address was given: the derived one, unless the domain needs to reach that or it is in
 * another device's network, whose hosts this domain would answer for. A guest that has it already keeps it while the domain does not need it. Else it is a free one of the same last
 * octet, or this domain's own in the guest's network; undefined when there is none.
 */
export function routerFor(
  guest: Network,
  { id }: VifSnapshot,
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): Network | undefined {
  const own = observed.links.ofVif(id);
  const network = networkOf(guest);
  const isNeeded = (router: Network): boolean => hidden([hostOf(router)], observed).length > 0;
  const domains = [...observed.links.ofDomain()]
    .flatMap(({ addresses }) => addresses)
    .filter((held) => contains(network, hostOf(held)) && held.address !== guest.address)
    .map(({ address }): Network => ({ ...guest, address }));
  const isOwn = ({ address }: Network): boolean => domains.some((held) => held.address === address);
  const derived = routerOf(guest);
  if (!isNeeded(derived) && (isOwn(derived) || !isElsewhere(derived, observed))) return derived;
  const route = ip.routes.to(hostOf(guest));
  const isHere = [own, ...twins.links].some((link) => link !== undefined && link.index === route?.device);
  if (isHere && route?.source === derived.address && !isNeeded(derived)) return derived;
  const isFree = (router: Network): boolean =>
    router.address !== guest.address &&
    !isNeeded(router) &&
    !isElsewhere(router, observed) &&
    routedElsewhere(hostOf(router), own, observed, ip) === undefined &&
    claimant(router, id, twins, observed, ip) === undefined &&
    holderOf([hostOf(router)], observed, ({ index }) => index === own?.index) === undefined;
  return candidates(guest).find(isFree) ?? domains.find((router) => !isNeeded(router));
}

/** The addresses of a guest's network that differ from its own in the last octet only, but for the first and the last. */
function candidates(guest: Network): Network[] {
  const start = addressValue(networkOf({ ...guest, prefix: Math.max(guest.prefix, 24) }));
  const size = 1n << BigInt(32 - Math.max(guest.prefix, 24));
  const found: Network[] = [];
  for (let value = start + 1n; value < start + size - 1n; value++)
    found.push({ ...guest, address: formatAddress(4, value) });
  return found;
}
