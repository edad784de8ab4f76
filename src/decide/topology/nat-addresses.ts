import { formatNetwork, isWholeNetwork, type Network } from '../../model/address.js';
import type { Dependency } from '../../model/dependency.js';
import type { IpState } from '../../model/ip.js';
import type { ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { type Planned, plan, sharedFrom } from './nat-plan.js';
import { bareLength, routerDistance } from './nat-router.js';

/** The guest's addresses, each with the prefix length of its network, `planned` among them; or why there are none. */
export function guestAddresses(
  snapshot: VifSnapshot,
  nat: VifPolicy['nat'],
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
):
  | { readonly addresses: readonly Network[]; readonly planned?: Planned }
  | { readonly problem: OperationError; readonly dependsOn: readonly Dependency[] } {
  const reject = (target: Network, reason: string, dependsOn: readonly Dependency[] = []) => ({
    problem: problem(
      'address-unusable',
      `choose the address of ${vifName(snapshot.id)}`,
      formatNetwork(target),
      reason,
    ),
    dependsOn,
  });
  const network = snapshot.ip.find(isWholeNetwork);
  if (network !== undefined) return reject(network, 'it is a network; give the address of the guest in it');
  const given = snapshot.ip.map((entry) =>
    entry.family === 4 && entry.prefix === 32 ? { ...entry, prefix: bareLength } : entry,
  );
  if (given.length > 0) return { addresses: given };
  const { devid } = snapshot.id;
  if (nat.network.prefix < sharedFrom && BigInt(devid) + 1n > routerDistance)
    return reject(nat.network, `there is none for device ${devid}; give it by ip`);
  const planned = plan(snapshot, nat, twins, observed, ip);
  if (planned !== undefined) return { addresses: [planned.guest], planned };
  const reason =
    'there is no address left that is neither of another guest nor in the network of another device; choose a larger network in [nat], or give one by ip';
  return reject(nat.network, reason, [{ kind: 'any-netdev' }]);
}
