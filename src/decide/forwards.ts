import { contains, formatNetwork, hostOf, type Network } from '../model/address.js';
import { type Dependency, netdev } from '../model/dependency.js';
import { type Forward, type ForwardedPort, forwardElement } from '../model/forward.js';
import type { Link, ObservedState } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { type TopologyName, traitsOf } from '../model/topology-name.js';
import { parseVifName, vifName } from '../model/vif-id.js';
import { newsOf } from './topology/routed-link.js';

/** The ports that lead to a guest, which of them it does not get, and what that depends on. */
export interface Forwarded {
  readonly ports: readonly ForwardedPort[];
  readonly missing: readonly OperationError[];
  readonly dependsOn: readonly Dependency[];
}

/**
 * The ports of `[[forward]]` that lead to a guest behind NAT: to its first address of each family, or to the one that is named. One
 * that leads to another vif stays there until that goes.
 * @param guests its addresses
 * @param ways the devices by which it leaves
 */
export function forwardedPorts(
  snapshot: VifSnapshot,
  forwards: readonly Forward[],
  guests: readonly Network[],
  ways: (family: 4 | 6) => readonly Link[],
  observed: ObservedState,
): Forwarded {
  const own = forwards.filter(({ to }) => names(to, snapshot, guests));
  const wanted = own.flatMap(({ listen, to }) =>
    ([4, 6] as const).flatMap((family) => {
      const guest = to.ip ?? guests.map(hostOf).find((one) => one.family === family);
      if (guest?.family !== family) return [];
      const at = listen.address === undefined ? addressesOf(ways(family), family) : [listen.address];
      return at
        .filter((address) => address.family === family)
        .map(
          (address): ForwardedPort => ({
            address,
            protocol: listen.protocol,
            port: listen.port,
            guest,
            guestPort: to.port,
          }),
        );
    }),
  );
  const taken = wanted.map((port) => holderOf(port, snapshot, observed));
  const uplinks = own.length === 0 ? [] : [...ways(4), ...ways(6)].map(({ name }) => netdev(name));
  return {
    ports: wanted.filter((_, i) => taken[i] === undefined),
    missing: wanted.flatMap((port, i) => {
      const holder = taken[i];
      return holder === undefined
        ? []
        : [notHad(snapshot, port, `it leads to ${holder.vif} while that is there`)];
    }),
    dependsOn: [...uplinks, ...taken.flatMap((holder) => (holder ? newsOf(holder.link) : []))],
  };
}

/** Whether a target is a vif with these addresses. */
const names = (
  { mac, domid, ip }: Forward['to'],
  { id, ...snapshot }: VifSnapshot,
  guests: readonly Network[],
) =>
  (mac !== undefined && mac === snapshot.mac) ||
  (domid !== undefined && domid === id.domid) ||
  (ip !== undefined && guests.some((guest) => contains(ip, hostOf(guest))));

/** The addresses of these devices, each once. */
function addressesOf(links: readonly Link[], family: 4 | 6): Network[] {
  const all = links.flatMap(({ addresses }) => addresses).filter((address) => address.family === family);
  return [...new Map(all.map((address) => [address.address, hostOf(address)])).values()];
}

/** The other vif that a port leads to, and its netdev; one of the same card gives it up. */
function holderOf(
  port: ForwardedPort,
  { id, twins = [] }: VifSnapshot,
  { nft, links }: ObservedState,
): { readonly vif: string; readonly link: Link } | undefined {
  const element = forwardElement(port);
  const owner = nft?.owner(nft.rival(element) ?? element) ?? '';
  const holder = parseVifName(owner);
  const isOwn = [id, ...twins].some((one) => vifName(one) === owner);
  const link = holder && links.ofVif(holder);
  return link === undefined || isOwn ? undefined : { vif: owner, link };
}

/** The tables that name a vif which is not behind NAT, by what its guest alone has, and so are of no use to it. */
export const unusedForwards = (
  snapshot: VifSnapshot,
  topology: TopologyName,
  forwards: readonly Forward[],
): OperationError[] =>
  traitsOf(topology).isNat
    ? []
    : forwards
        .filter(({ to }) => to.domid === undefined && names(to, snapshot, snapshot.ip))
        .map(({ listen, to }) =>
          notHad(
            snapshot,
            { ...listen, ...(to.ip && { guest: to.ip }), guestPort: to.port },
            `vif-${topology} gives the guest an address of its own, by which it is reached`,
            'forward-unused',
          ),
        );

function notHad(
  { id }: VifSnapshot,
  { protocol, port, address, guest, guestPort }: Partial<ForwardedPort>,
  reason: string,
  code: 'forward-taken' | 'forward-unused' = 'forward-taken',
): OperationError {
  const at = address === undefined ? '' : `${formatNetwork(address)} `;
  const to = guest === undefined ? `port ${guestPort}` : `${formatNetwork(guest)} port ${guestPort}`;
  return problem(code, `forward ${at}${protocol}/${port} to ${vifName(id)} as`, to, reason);
}
