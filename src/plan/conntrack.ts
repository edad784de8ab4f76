import type { ActionOf } from '../model/action.js';
import { hostOf, type Network } from '../model/address.js';
import { type ForwardedPort, forwardElement, forwardedBy } from '../model/forward.js';
import { type DesiredIp, noIp } from '../model/ip.js';
import { spokenFrom } from '../model/nft.js';
import type { Link, ObservedState } from '../model/observed.js';
import type { DesiredRoute } from '../model/route.js';
import { type VifId, vifName } from '../model/vif-id.js';
import { masqueradeElement } from '../nft/elements.js';
import { parseChainName } from '../nft/tables.js';

/**
 * Ends the connections of addresses that are new on a device, because they belong to the guest that had the address before.
 * @param missing the routes that the device lacks
 * @param known its neighbour entries: an address that has one was on the device before, and lost its route only
 * @param want.twins the netdevs of the same guest's card, whose connections are the same guest's
 */
export function strangeConnections(
  id: VifId,
  link: Link,
  missing: readonly DesiredRoute[],
  known: ReadonlyMap<string, string>,
  { resumes = false, twins = [] }: DesiredIp,
  { ip = noIp, nft }: ObservedState,
): ActionOf<'forget-connections'>[] {
  const vif = vifName(id);
  const isSameNetdev = (nft?.chains(vif) ?? []).some(
    ({ chain }) => parseChainName(chain)?.index === link.index,
  );
  // The kernel deletes routes and neighbours with a link that goes down; the filter stays.
  const hadIt = (network: Network): boolean =>
    resumes && isSameNetdev && nft?.owner(spokenFrom(link.name, network)) === vif;
  return missing
    .filter(({ to }) => {
      const before = ip.routes.to(to)?.device;
      if (before === undefined) return !known.has(to.address) && !hadIt(to);
      return !known.has(to.address) && before !== link.index && !twins.includes(before);
    })
    .map(({ to }) => ({ kind: 'forget-connections', network: to }));
}

/**
 * Ends connections that began before their address was masqueraded, or left by another device. The kernel decides about
 * translation by a connection's first packet, so that a flow that never pauses would stay untranslated.
 */
export function unmasqueraded(
  id: VifId,
  { masquerades }: DesiredIp,
  { nft }: ObservedState,
): ActionOf<'forget-connections'>[] {
  const fresh = masquerades.filter(
    ({ address, uplink }) => nft?.owner(masqueradeElement(address, uplink)) !== vifName(id),
  );
  const addresses = new Map(fresh.map(({ address }) => [address.address, address]));
  return [...addresses.values()].map((address) => ({
    kind: 'forget-connections',
    network: hostOf(address),
    untranslated: true,
  }));
}

/**
 * Ends the connections to ports that are forwarded from now on, or no longer, except those that lead to the right guest: the kernel
 * decides by a connection's first packet, so that a flow which never pauses would stay with the guest it has.
 */
export function misdirected(
  id: VifId,
  ports: readonly ForwardedPort[] = [],
  { nft }: ObservedState,
): ActionOf<'forget-connections'>[] {
  const vif = vifName(id);
  const fresh = ports.filter((port) => nft?.owner(forwardElement(port)) !== vif);
  const at = ({ address, protocol, port }: ForwardedPort): string => `${address.address} ${protocol} ${port}`;
  const wanted = new Set(ports.map(at));
  const gone = (nft?.elements(vif) ?? [])
    .map(forwardedBy)
    .filter((port) => port !== undefined)
    .filter((port) => !wanted.has(at(port)));
  const forget = (
    { address, protocol, port }: ForwardedPort,
    guest?: { address: string; port: number },
  ): ActionOf<'forget-connections'> => ({
    kind: 'forget-connections',
    network: hostOf(address),
    port: { protocol, port, ...(guest && { guest }) },
  });
  return [
    ...fresh.map((port) => forget(port, { address: port.guest.address, port: port.guestPort })),
    ...gone.map((port) => forget(port)),
  ];
}
