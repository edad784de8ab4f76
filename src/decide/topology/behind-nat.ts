import { formatNetwork, isHost, type Network } from '../../model/address.js';
import type { IpState } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { claimants, isRoutedTo, routedElsewhere } from './routed-link.js';

/**
 * Why a routed vif does not get an address that a guest behind NAT has, and that guest's netdev. A routed guest takes over from another,
 * since it may be the same one that comes from another host; one behind NAT is another guest, and would be left with an address that
 * it does not know of.
 */
export function takenBehindNat(
  networks: readonly Network[],
  { id }: VifSnapshot,
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): { problem: OperationError; holder: Link } | undefined {
  const own = observed.links.ofVif(id);
  const isBehindNat = (link: Link): boolean => {
    const vif = vifOfLink(link);
    if (vif === undefined || link.index === own?.index || twins.links.includes(link)) return false;
    return observed.nft?.owner({ set: 'behind_nat', key: [link.name] }) === vifName(vif);
  };
  for (const network of networks) {
    if (!isHost(network) || isRoutedTo(own, [network], ip)) continue;
    const routed = routedElsewhere(network, own, observed, ip);
    const holders = [...(routed === undefined ? [] : [routed]), ...claimants(network, observed, ip)];
    const holder = holders.find(isBehindNat);
    if (holder === undefined) continue;
    return {
      holder,
      problem: problem(
        'address-taken',
        `give ${vifName(id)} the address`,
        formatNetwork(network),
        `${holder.name} has it`,
      ),
    };
  }
  return undefined;
}
