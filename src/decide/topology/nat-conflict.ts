import { hostOf, type Network } from '../../model/address.js';
import type { Dependency } from '../../model/dependency.js';
import type { IpState } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { claims, deviceName, holderOf, isRoutedTo, newsOf, routedElsewhere } from './routed-link.js';

/**
 * Why a vif does not get one of these addresses, which another device has, and news of that device. The first vif keeps an
 * address. `isPassed`: the vif had its address before this domain took it as one of its own, and goes on.
 */
export function conflictOf(
  guests: readonly Network[],
  routers: readonly Network[],
  { id, ...snapshot }: VifSnapshot,
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): { problem: OperationError; dependsOn: readonly Dependency[]; isPassed: boolean } | undefined {
  const own = observed.links.ofVif(id);
  const device = own?.name ?? deviceName({ id, ...snapshot });
  const conflict = (address: string, holder: Link, what: string, isPassed = false) => ({
    problem: problem('address-taken', `give ${vifName(id)} the address`, address, `${holder.name} ${what}`),
    dependsOn: newsOf(holder),
    isPassed,
  });
  for (const guest of guests) {
    const other = [
      routedElsewhere(hostOf(guest), own, observed, ip),
      claimant(guest, id, twins, observed, ip),
    ]
      .filter((link) => link !== undefined)
      .find(({ index }) => !twins.links.some((twin) => twin.index === index));
    if (other !== undefined) return conflict(guest.address, other, 'has it');
    const held = holderOf([hostOf(guest)], observed, ({ name }) => name === device);
    if (held === undefined) continue;
    const isHeld = isRoutedTo(own, [hostOf(guest)], ip);
    return conflict(guest.address, held.holder, 'has it as an address of this domain', isHeld);
  }
  for (const router of routers) {
    const other = routedElsewhere(hostOf(router), own, observed, ip);
    if (other !== undefined) return conflict(router.address, other, 'has it, but its router needs it');
  }
  return undefined;
}

/** The netdev of another vif that has this address, be its link down for a while. */
export function claimant(
  guest: Network,
  id: VifId,
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): Link | undefined {
  const { links } = observed;
  const own = links.ofVif(id);
  // The vif that has the route needs no look at all the others.
  if (isRoutedTo(own, [hostOf(guest)], ip)) return undefined;
  const isClaimed = claims(hostOf(guest), observed, ip);
  for (const link of links.all())
    if (link.index !== own?.index && !twins.links.includes(link) && isClaimed(link)) return link;
  return undefined;
}
