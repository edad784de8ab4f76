import { contains, formatNetwork, hostOf, isHost, type Network, networkOf } from '../../model/address.js';
import { noIp } from '../../model/ip.js';
import { type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';

/** A gateway or resolver of this domain that a route of ours would hide, and what it is. */
interface Hidden {
  readonly network: Network;
  readonly address: string;
  readonly what: string;
}

/**
 * What our routes to these networks would keep the domain itself from reaching: a host's route goes before that of the network
 * the host is in. A gateway by a vif is a guest that routes.
 */
export function hidden(networks: readonly Network[], { links, ip = noIp }: ObservedState): Hidden[] {
  const byVif = (index: number): boolean => {
    const link = links.byIndex(index);
    return link !== undefined && vifOfLink(link) !== undefined;
  };
  const vital = [
    ...ip.routes
      .nextHops()
      .filter(({ device }) => !byVif(device))
      .map(({ address, device }) => ({
        address,
        what: `the next hop of a route by ${links.byIndex(device)?.name ?? 'another device'}`,
      })),
    ...ip.resolvers.map((address) => ({
      address: hostOf({ family: address.includes(':') ? 6 : 4, address }),
      what: 'a resolver of this domain',
    })),
  ];
  const isNearer = (network: Network, address: Network): boolean =>
    [...links.ofDomain()].some((link) =>
      link.addresses.some(
        (held) => !isHost(held) && held.prefix >= network.prefix && contains(networkOf(held), address),
      ),
    );
  return networks.flatMap((network) =>
    vital
      .filter(({ address }) => contains(network, address) && (isHost(network) || !isNearer(network, address)))
      .map(({ address, what }) => ({ network, address: address.address, what })),
  );
}

/** Why the domain itself needs one of these addresses; undefined when it needs none. */
export function whyNeeded(
  networks: readonly Network[],
  { id }: VifSnapshot,
  observed: ObservedState,
): OperationError | undefined {
  const [first] = hidden(networks, observed);
  if (first === undefined) return undefined;
  const { network, address, what } = first;
  const reason = `${isHost(network) ? 'it' : address} is ${what}, which could no longer be reached; give the guest another`;
  return problem('address-needed', `give ${vifName(id)} the address`, formatNetwork(network), reason);
}
