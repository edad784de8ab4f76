import {
  addressValue,
  formatAddress,
  formatNetwork,
  hostOf,
  isWholeNetwork,
  type Network,
  networkOf,
} from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import { dhcpEntry } from '../../model/dhcp-entry.js';
import { type IpState, noIp } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import { filterFor } from '../antispoof.js';
import { type Twins, twinsOf } from '../twins.js';
import { uplinksOf } from '../vif-options.js';
import { vifMac } from './bridge.js';
import {
  atTwin,
  deviceName,
  holderOf,
  linkLocalRouter,
  overruled,
  routedElsewhere,
  routerSysctls,
  waysOut,
  whyNoIpv6,
} from './routed-link.js';
import type { Attachment, Topology } from './topology.js';

/** What lies between a guest's address and its router's, in the last octet, as the stock script has it. */
const routerDistance = 127n;
/** The prefix length an address without one is taken to have: its router differs in the last octet only. */
const bareLength = 24;

/** `vif-nat`: the guest has an address that is not seen outside; the domain routes, and masquerades what leaves it. */
export const nat: Topology = {
  name: 'nat',
  attach(snapshot: VifSnapshot, config: VifPolicy, observed: ObservedState): Attachment {
    const ip = observed.ip ?? noIp;
    const all = guestAddresses(snapshot, config);
    const named = uplinksOf(snapshot, Array.isArray(all) ? all.map(hostOf) : [], config);
    const dependsOn: Dependency[] = named?.map(netdev) ?? [{ kind: 'default-route' }];
    const twins = twinsOf(snapshot, observed.links);
    dependsOn.push(...twins.dependsOn);
    if (!Array.isArray(all)) return { problem: all, dependsOn };
    dependsOn.push(...all.map(({ address }): Dependency => ({ kind: 'address', address })));
    const no6 = all.some(({ family }) => family === 6) ? whyNoIpv6(snapshot, observed) : undefined;
    const guests = no6 === undefined ? all : all.filter(({ family }) => family === 4);
    const v4 = guests.filter(({ family }) => family === 4);
    const v6 = guests.filter(({ family }) => family === 6);
    const routers = v4.map(routerOf);
    const conflict = conflictOf(guests, routers, snapshot, twins, observed, ip);
    if (conflict !== undefined && !conflict.isPassed) {
      return { problem: conflict.problem, dependsOn: [...dependsOn, ...conflict.dependsOn] };
    }
    if (conflict !== undefined) dependsOn.push(...conflict.dependsOn);
    if (no6 !== undefined) dependsOn.push({ kind: 'ipv6-of', device: deviceName(snapshot) });

    const own = observed.links.ofVif(snapshot.id);
    const ways = (family: 4 | 6): Link[] =>
      named === undefined
        ? waysOut(family, observed.links, ip).filter(({ index }) => index !== own?.index)
        : named.map((name) => observed.links.byName(name)).filter((link) => link !== undefined);
    const filtered = filterFor(snapshot, config, {
      topology: 'nat',
      networks: all.map(hostOf),
      reverse: true,
      protectHost: { dhcp: config.nat.dhcp === 'dnsmasq', dns: false },
    });
    if ('problem' in filtered) return { ...filtered, dependsOn };
    const isTwins = atTwin(observed.links.ofVif(snapshot.id), twins, guests.map(hostOf), ip);
    const kept = guests.filter((guest) => !isTwins(hostOf(guest)));
    const [first] = v4.filter((guest) => kept.includes(guest));
    const [router] = routers;
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu,
          master: null,
          // As hosts: as the /16 it is, every vif would claim the same network.
          addresses: [...routers.map(hostOf), ...(v6.length > 0 ? [linkLocalRouter] : [])],
        },
        ...filtered,
        ip: {
          routes: kept.map((guest) => ({
            to: hostOf(guest),
            source: guest.family === 4 ? routerOf(guest).address : undefined,
          })),
          neighbours: kept.map(hostOf),
          mac: snapshot.mac,
          proxies: { device: 0, name: '', hosts: [] },
          sysctls: routerSysctls(
            deviceName(snapshot),
            [...ways(4), ...ways(6)],
            undefined,
            { links: observed.links, ip },
            v6.length > 0,
          ),
          masquerades: kept.flatMap((guest) =>
            ways(guest.family).map(({ name }) => ({ address: hostOf(guest), uplink: name })),
          ),
          leavesBy: named,
          dhcp:
            config.nat.dhcp === 'dnsmasq' && snapshot.mac !== undefined && first && router
              ? dhcpEntry({
                  vif: vifName(snapshot.id),
                  device: deviceName(snapshot),
                  mac: snapshot.mac,
                  guest: first,
                  router: router.address,
                  dns: config.nat.dns,
                })
              : undefined,
          twins: twins.links.map(({ index }) => index),
        },
      },
      dependsOn,
      missing: [
        ...(conflict === undefined ? [] : [conflict.problem]),
        ...(no6 === undefined ? [] : [no6]),
        ...missingWayOut(snapshot, named, v4, ways(4)),
        ...missingWayOut(snapshot, named, v6, ways(6)),
        ...overruled(snapshot, kept.map(hostOf), observed),
      ],
    };
  },
};

/** What to say of addresses that are not masqueraded because nothing leads out. */
function missingWayOut(
  { id }: VifSnapshot,
  named: readonly string[] | undefined,
  guests: readonly Network[],
  ways: readonly Link[],
): OperationError[] {
  const [first] = guests;
  if (first === undefined || ways.length > 0) return [];
  const reason =
    named === undefined
      ? `there is no IPv${first.family} default route`
      : `there is no device ${named.join(' or ')}`;
  return [problem('way-out-missing', `masquerade ${vifName(id)} as`, first.address, reason)];
}

/** The guest's addresses, each with the prefix length of its network; or why there are none. Without `ip` it is the plan's. */
function guestAddresses({ id, ip, twins = [] }: VifSnapshot, { nat }: VifPolicy): Network[] | OperationError {
  const reject = (target: string, reason: string): OperationError =>
    problem('address-unusable', `choose the address of ${vifName(id)}`, target, reason);
  const network = ip.find(isWholeNetwork);
  if (network !== undefined) {
    return reject(formatNetwork(network), 'it is a network; give the address of the guest in it');
  }
  const given = ip.map((entry) =>
    entry.family === 4 && entry.prefix === 32 ? { ...entry, prefix: bareLength } : entry,
  );
  if (given.length > 0) return given;
  if (BigInt(id.devid) + 1n > routerDistance) {
    return reject(formatNetwork(nat.network), `there is none for device ${id.devid}; give it by ip`);
  }
  // The guest's own domain was made before its stubdomain: the plan is by that.
  const domid = Math.min(id.domid, ...twins.map((twin) => twin.domid));
  return [planned({ ...id, domid }, nat)];
}

/** The stock address plan: two octets of the domain's id, one of the device's number. */
function planned({ domid, devid }: VifId, { network, prefix }: VifPolicy['nat']): Network {
  const size = 1n << BigInt(32 - network.prefix);
  const host = (BigInt(domid) * 256n + BigInt(devid) + 1n) % size;
  return { family: 4, address: formatAddress(4, addressValue(network) + host), prefix };
}

/**
 * The router's address: 127 more in the last octet, or less where that would be beyond 254; in a network smaller than
 * that its first address, or the second when the guest has the first.
 */
function routerOf(guest: Network): Network {
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
 * Why one of these addresses cannot be had, and news of what would change that. The first vif keeps an address. `isPassed`: the
 * vif had its address before this domain took it as one of its own, and goes on.
 */
function conflictOf(
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
    const holder = holderOf(guest.address, device, observed);
    if (holder === undefined) continue;
    const isHeld = own !== undefined && ip.routes.to(hostOf(guest))?.device === own.index;
    return conflict(guest.address, holder, 'has it as an address of this domain', isHeld);
  }
  for (const router of routers) {
    const other = routedElsewhere(hostOf(router), own, observed, ip);
    if (other !== undefined) return conflict(router.address, other, 'has it, but its router needs it');
  }
  return undefined;
}

/**
 * The netdev of another vif that has this address: it is masqueraded under it, or its filter lets it speak from it. Both
 * outlast a link that is down for a while, which takes the route.
 */
function claimant(
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

/** What to depend on for news of a netdev; under its vif's own name there is that of what the vif has besides. */
function newsOf(link: Link): Dependency[] {
  const vif = vifOfLink(link);
  return [netdev(link.name), ...(vif === undefined ? [] : [netdev(vifName(vif))])];
}
