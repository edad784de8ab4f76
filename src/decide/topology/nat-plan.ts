import { addressValue, formatAddress, hostOf, type Network } from '../../model/address.js';
import type { IpState } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { hidden } from './domain-needs.js';
import { isElsewhere, isRoutedAway } from './elsewhere.js';
import { claimant } from './nat-conflict.js';
import { routerDistance, routerOf } from './nat-router.js';
import { holderOf, routedElsewhere } from './routed-link.js';

// The address of a guest behind NAT that dom0 gives none.

/** From this prefix length on all guests of the planned network have one router, since half of them would have no room otherwise. */
export const sharedFrom = 20;

/** How many addresses beside that of the stock plan a vif may have in a network that is larger. */
const probes = 1024;

/** An address that was chosen, and its router's. */
export interface Planned {
  readonly guest: Network;
  readonly router: Network;
}

/**
 * The address of a vif in the planned network: the one it has, else the first of its own that is free, and rather one that no route of
 * others leads to. Which are its own
 * follows from its domain's id, as in the stock script, or in a small network from its MAC address, which a guest keeps when it
 * is started anew.
 */
export function plan(
  snapshot: VifSnapshot,
  { network, prefix }: VifPolicy['nat'],
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): Planned | undefined {
  const own = observed.links.ofVif(snapshot.id);
  const isOthers = (link: Link | undefined): boolean =>
    link !== undefined && !twins.links.some(({ index }) => index === link.index);
  const at = (host: bigint): Network => ({
    family: 4,
    address: formatAddress(4, addressValue(network) + host),
    prefix,
  });
  const isNeeded = (address: Network): boolean => hidden([hostOf(address)], observed).length > 0;
  const isFree = (address: Network): boolean =>
    !isNeeded(address) &&
    !isElsewhere(address, observed) &&
    !isOthers(routedElsewhere(hostOf(address), own, observed, ip)) &&
    claimant(address, snapshot.id, twins, observed, ip) === undefined &&
    !isOthers(holderOf([hostOf(address)], observed, ({ name }) => name === own?.name)?.holder);
  const shared = (guest: Network): Network | undefined => {
    // A router's address may be on several vifs, but on no guest.
    const last = addressValue(network) + (1n << BigInt(32 - network.prefix)) - 2n;
    for (let value = addressValue(network) + 1n; value <= last; value++) {
      const router = { ...guest, address: formatAddress(4, value) };
      const taken =
        router.address === guest.address ||
        isNeeded(router) ||
        isElsewhere(router, observed) ||
        routedElsewhere(hostOf(router), own, observed, ip) !== undefined ||
        claimant(router, snapshot.id, twins, observed, ip) !== undefined;
      if (!taken) return router;
    }
    return undefined;
  };
  const routerFor = network.prefix < sharedFrom ? routerOf : shared;
  const choose = (guest: Network): Planned | undefined => {
    const route = ip.routes.to(hostOf(guest));
    const known = route?.device === own?.index ? route?.source : undefined;
    const kept = known === undefined ? undefined : { ...guest, address: known };
    const router = kept !== undefined && !isNeeded(kept) ? kept : routerFor(guest);
    return router && !isNeeded(router) ? { guest, router } : undefined;
  };
  // Made one at a time: the first is nearly always the one, of a thousand.
  function* candidates(): Iterable<Network> {
    for (const host of hostsFor(snapshot, network)) yield at(host);
  }
  const held = firstOf(candidates, heldBy(snapshot.id, own, observed, ip));
  const goesOn = held !== undefined && !isNeeded(held) ? choose(held) : undefined;
  if (goesOn !== undefined) return goesOn;
  const first = (isFit: (address: Network) => boolean): Planned | undefined => {
    for (const guest of candidates()) {
      if (!isFit(guest)) continue;
      const chosen = choose(guest);
      const routerIsFree = network.prefix >= sharedFrom || (chosen !== undefined && isFit(chosen.router));
      if (chosen !== undefined && routerIsFree) return chosen;
    }
    return undefined;
  };
  // A VPN may have a route to all of the planned network: only hosts with the very addresses of guests are hidden then.
  return first((address) => isFree(address) && !isRoutedAway(address, observed)) ?? first(isFree);
}

/** The first of these that is among the addresses. */
function firstOf(candidates: () => Iterable<Network>, addresses: ReadonlySet<string>): Network | undefined {
  if (addresses.size === 0) return undefined;
  for (const candidate of candidates()) if (addresses.has(candidate.address)) return candidate;
  return undefined;
}

/** The addresses of a vif's own in the planned network, as offsets, in the order in which they are tried. */
function* hostsFor({ id, mac, twins = [] }: VifSnapshot, network: Network): Iterable<bigint> {
  const size = 1n << BigInt(32 - network.prefix);
  const start = hash(mac ?? vifName(id));
  if (network.prefix >= sharedFrom) {
    // But for the network's own, broadcast and, last, the router's.
    const hosts = size - 3n;
    for (let i = 0n; i < hosts; i++) yield 2n + ((start + i) % hosts);
    yield 1n;
    return;
  }
  // The guest's own domain was made before its stubdomain: the plan is by that.
  yield stock({ ...id, domid: Math.min(id.domid, ...twins.map((twin) => twin.domid)) }) % size;
  const slots = (size / 256n) * routerDistance;
  for (let i = 0n; i < probes; i++) {
    const slot = (start + i) % slots;
    yield (slot / routerDistance) * 256n + 1n + (slot % routerDistance);
  }
}

/** The stock address plan: two octets of the domain's id, one of the device's number. */
export const stock = ({ domid, devid }: VifId): bigint => BigInt(domid) * 256n + BigInt(devid) + 1n;

/** A number of 32 bits from a text (FNV-1a). */
function hash(text: string): bigint {
  let value = 0x811c9dc5;
  for (const letter of text) value = Math.imul(value ^ (letter.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return BigInt(value);
}

/** The addresses that a vif has on this host, by whatever is there of it: a link that was down has lost its routes. */
function heldBy(
  id: VifId,
  own: Link | undefined,
  { nft }: ObservedState,
  { routes, masquerades }: IpState,
): ReadonlySet<string> {
  const vif = vifName(id);
  const routed = own === undefined ? [] : routes.onDevice(own.index).map(({ to }) => to.address);
  const filtered = (nft?.elements(vif) ?? []).flatMap(({ set, key }) =>
    set === 'hosts4' && key[1] !== undefined ? [key[1]] : [],
  );
  const held = new Set([...routed, ...filtered]);
  for (const [address, { owner }] of masquerades) if (owner === vif) held.add(address);
  return held;
}
