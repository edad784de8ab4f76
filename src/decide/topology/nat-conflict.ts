import { hostOf, type Network } from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import type { IpState } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { deviceName, holderOf, isRoutedTo, routedElsewhere } from './routed-link.js';

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

/** What to depend on for news of a netdev; under its vif's own name there is that of what the vif has besides. */
function newsOf(link: Link): Dependency[] {
  const vif = vifOfLink(link);
  return [netdev(link.name), ...(vif === undefined ? [] : [netdev(vifName(vif))])];
}

/**
 * The netdev of another vif that has this address: it is masqueraded under it, or its filter lets it speak from it. Both
 * outlast a link that is down for a while, which takes the route.
 */
export function claimant(
  guest: Network,
  id: VifId,
  twins: Twins,
  { links, nft }: ObservedState,
  ip: IpState,
): Link | undefined {
  const own = links.ofVif(id);
  const { family, address } = guest;
  // The vif that has the route needs no look at all the others.
  if (isRoutedTo(own, [hostOf(guest)], ip)) return undefined;
  const masqueraded = ip.masquerades.get(address)?.owner;
  const set = family === 4 ? 'hosts4' : 'hosts6';
  for (const link of links.all()) {
    const vif = vifOfLink(link);
    if (vif === undefined || vifName(vif) === vifName(id) || twins.links.includes(link)) continue;
    const isHeld = nft?.owner({ set, key: [link.name, address] }) === vifName(vif);
    if (isHeld || masqueraded === vifName(vif)) return link;
  }
  return undefined;
}
