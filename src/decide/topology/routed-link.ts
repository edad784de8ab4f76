import { contains, hostOf, isHost, type Network } from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import { type IpState, routerLinkLocal } from '../../model/ip.js';
import { spokenFrom } from '../../model/nft.js';
import { type Link, type LinkView, type ObservedState, vifOfLink } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { parseVifName, vifName } from '../../model/vif-id.js';
import { isPreferred, type Twins } from '../twins.js';

// What vif-route and vif-nat have in common: a vif that is an interface of a router.

/** The name the vif's netdev has, or will have. */
export const deviceName = (snapshot: VifSnapshot): string => snapshot.vifname ?? vifName(snapshot.id);

/** The addresses by which a vif is a router to IPv6 guests. */
export const linkLocalRouter: Network = { family: 6, address: routerLinkLocal, prefix: 64 };

/** Those of the networks that are one host each. */
export const hosts = (networks: readonly Network[]): Network[] => networks.filter(isHost);

/** The first of these networks in which a device has an address of the domain itself, and the device. */
export function holderOf(
  networks: readonly Network[],
  { links }: ObservedState,
  isPassed: (link: Link) => boolean,
): { readonly holder: Link; readonly network: Network } | undefined {
  const isIn = (outer: Network, { address, family }: Network): boolean =>
    isHost(outer) ? outer.address === address : contains(outer, hostOf({ address, family }));
  for (const network of networks)
    for (const holder of isHost(network) ? links.withAddress(network.address) : links.all())
      if (!isPassed(holder) && holder.addresses.some((held) => isIn(network, held)))
        return { holder, network };
  return undefined;
}

/** Whether the vif with this netdev has our routes to all of these networks. */
export const isRoutedTo = (
  own: Link | undefined,
  networks: readonly Network[],
  { routes }: IpState,
): boolean => own !== undefined && networks.every((network) => routes.to(network)?.device === own.index);

/** Another vif's netdev to which our route for this network leads. */
export function routedElsewhere(
  network: Network,
  own: Link | undefined,
  { links }: ObservedState,
  { routes }: IpState,
): Link | undefined {
  const there = routes.to(network)?.device;
  return there === undefined || there === own?.index ? undefined : links.byIndex(there);
}

/**
 * The netdevs whose vifs have this network by what outlasts a link that is down, which takes the route: it is routed and its filter
 * lets it speak from there, it is masqueraded under it, or it is answered for on its behalf. A guest on a bridge may have the same
 * address. The one that came first is the first.
 */
export function claimants(
  network: Network,
  { links, nft }: ObservedState,
  { masquerades, routes }: IpState,
): Link[] {
  const { address } = network;
  const speaking = (nft?.speakers(network) ?? []).flatMap((name) => {
    const link = links.byName(name);
    const id = link && vifOfLink(link);
    if (link === undefined || id === undefined) return [];
    const owners = [spokenFrom(name, network), { set: 'routed', key: [name] } as const].map((one) =>
      nft?.owner(one),
    );
    return owners.every((owner) => owner === vifName(id)) ? [link] : [];
  });
  const ofVif = (name: string | undefined): Link[] => {
    const id = parseVifName(name ?? '');
    const link = id && links.ofVif(id);
    return link === undefined ? [] : [link];
  };
  const answered = (isHost(network) ? routes.proxiesFor(address) : []).flatMap(({ owner, device }) =>
    // At a vif's own device the addresses of others are answered for.
    ofVif(owner).filter(({ index }) => index !== device),
  );
  const all = new Set([...speaking, ...ofVif(masquerades.get(address)?.owner), ...answered]);
  return [...all].sort((one, other) => one.index - other.index);
}

/** What to depend on for news of a netdev; under its vif's own name there is that of what the vif has besides. */
export function newsOf(link: Link): Dependency[] {
  const vif = vifOfLink(link);
  return [netdev(link.name), ...(vif === undefined ? [] : [netdev(vifName(vif))])];
}

/**
 * Tells of a network whether it is a twin's to have, for the vif with this netdev. One that leads to the vif stays until the
 * twin has taken it, so that it is never without a way.
 */
export function atTwin(
  own: Link | undefined,
  twins: Twins,
  networks: readonly Network[],
  { routes }: IpState,
): (network: Network) => boolean {
  const leadsTo = ({ index }: Link, network: Network): boolean => routes.to(network)?.device === index;
  const preferred = isPreferred(own, twins, (link) => networks.some((network) => leadsTo(link, network)));
  return (network) => !preferred && !(own !== undefined && leadsTo(own, network));
}

/** The devices that any default route leads through. */
export const waysOut = (version: 4 | 6, links: LinkView, { routes }: IpState): Link[] =>
  routes
    .waysOut(version)
    .map((index) => links.byIndex(index))
    .filter((link) => link !== undefined);
