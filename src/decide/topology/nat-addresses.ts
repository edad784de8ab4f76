import {
  addressValue,
  contains,
  formatAddress,
  formatNetwork,
  hostOf,
  isHost,
  isWholeNetwork,
  type Network,
  networkOf,
} from '../../model/address.js';
import type { Dependency } from '../../model/dependency.js';
import type { IpState } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import type { Twins } from '../twins.js';
import { hidden, holderOf, routedElsewhere } from './routed-link.js';

// The addresses of guests behind NAT: those that dom0 gives, or the one that is planned.

/** What lies between a guest's address and its router's, in the last octet, as the stock script has it. */
const routerDistance = 127n;
/** The prefix length an address without one is taken to have: its router differs in the last octet only. */
const bareLength = 24;

/** From this prefix length on all guests of the planned network have one router, since few would have room otherwise. */
const sharedFrom = 24;
/** How many addresses beside that of the stock plan a vif may have in a network that is larger. */
const probes = 64;

/** An address that was chosen, and its router's. */
interface Planned {
  readonly guest: Network;
  readonly router: Network;
}

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

/**
 * The address of a vif in the planned network: the one it has, else the first of its own that is free. Which are its own
 * follows from its domain's id, as in the stock script, or in a small network from its MAC address, which a guest keeps when it
 * is started anew.
 */
function plan(
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
  const isFree = (address: Network): boolean =>
    hidden([hostOf(address)], observed).length === 0 &&
    !isElsewhere(address, observed) &&
    !isOthers(routedElsewhere(hostOf(address), own, observed, ip)) &&
    claimant(address, snapshot.id, twins, observed, ip) === undefined &&
    !isOthers(holderOf(address.address, own?.name ?? '', observed));
  const shared = (guest: Network): Network | undefined => {
    // A router's address may be on several vifs, but on no guest.
    const last = addressValue(network) + (1n << BigInt(32 - network.prefix)) - 2n;
    for (let value = addressValue(network) + 1n; value <= last; value++) {
      const router = { ...guest, address: formatAddress(4, value) };
      const taken =
        router.address === guest.address ||
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
    const router = known === undefined ? routerFor(guest) : { ...guest, address: known };
    return router && { guest, router };
  };
  const candidates = [...hostsFor(snapshot, network)].map(at);
  const held = candidates.find(({ address }) => heldBy(snapshot.id, own, observed, ip).has(address));
  if (held !== undefined && hidden([hostOf(held)], observed).length === 0) return choose(held);
  for (const guest of candidates) {
    if (!isFree(guest)) continue;
    const chosen = choose(guest);
    const routerIsFree = network.prefix >= sharedFrom || (chosen !== undefined && isFree(chosen.router));
    if (chosen !== undefined && routerIsFree) return chosen;
  }
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
const stock = ({ domid, devid }: VifId): bigint => BigInt(domid) * 256n + BigInt(devid) + 1n;

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
  const masqueraded = [...masquerades].flatMap(([address, { owner }]) => (owner === vif ? [address] : []));
  const filtered = (nft?.elements(vif) ?? []).flatMap(({ set, key }) =>
    set === 'hosts4' && key[1] !== undefined ? [key[1]] : [],
  );
  return new Set([...routed, ...masqueraded, ...filtered]);
}

/** Whether an address lies in a network that a device of this domain is in. */
const isElsewhere = (address: Network, { links }: ObservedState): boolean =>
  [...links.all()].some(
    (link) =>
      vifOfLink(link) === undefined &&
      link.addresses.some((held) => !isHost(held) && contains(networkOf(held), hostOf(address))),
  );

/**
 * The router's address: 127 more in the last octet, or less where that would be beyond 254; in a network smaller than
 * that its first address, or the second when the guest has the first.
 */
export function routerOf(guest: Network): Network {
  const value = addressValue(guest);
  const octet = value & 255n;
  const start = addressValue(networkOf(guest));
  const first = guest.prefix >= 31 ? start : start + 1n;
  const router =
    guest.prefix > bareLength
      ? first === value
        ? first + 1n
        : first
      : octet + routerDistance <= 254n
        ? value + routerDistance
        : value - routerDistance;
  return { ...guest, address: formatAddress(4, router) };
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
  if (own !== undefined && ip.routes.to(hostOf(guest))?.device === own.index) return undefined;
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
