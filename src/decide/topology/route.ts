import {
  formatNetwork,
  grantedBy,
  hostOf,
  isHost,
  isWholeNetwork,
  type Network,
  ofFamily,
} from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import type { Attached } from '../../model/desired.js';
import { hostServices, type Service } from '../../model/filter.js';
import { type IpState, noIp } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import { isDefault } from '../../model/route.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { filterFor } from '../antispoof.js';
import { standby, type Twins, twinsOf } from '../twins.js';
import { takenBehindNat } from './behind-nat.js';
import { vifMac } from './bridge.js';
import { advertisingSysctls, dhcp6Port, givenByDhcp6, leaseOf, routerAddresses6, servedBy } from './dhcp.js';
import { whyNeeded } from './domain-needs.js';
import { addressOf, gatewayOf, routing, whyNoGateway } from './gateway.js';
import { guestKeysOf } from './guest-keys.js';
import { hasOnLink, onLinkOf, onLinkSysctls, unreachedOnLink } from './on-link.js';
import { overruled } from './overruled.js';
import {
  atTwin,
  claimants,
  deviceName,
  holderOf,
  hosts,
  isRoutedTo,
  newsOf,
  routedElsewhere,
  waysOut,
} from './routed-link.js';
import { whyNoIpv6 } from './routed-losses.js';
import { routerSysctls } from './router-sysctls.js';
import type { Attachment, Topology } from './topology.js';

/**
 * `vif-route`: the domain routes to the guest. The vif has the gateway device's address, as the stock script has it,
 * and for IPv6 fe80::1 too; each entry of `ip` has a route, and each host is answered for at the gateway device, so
 * that it is reached from a network which knows nothing of this.
 *
 * A vif that is connected stays so when the gateway device, its address or the default route goes: it keeps the address
 * it has, and reaches other guests.
 */
export const route: Topology = {
  name: 'route',
  attach(
    snapshot: VifSnapshot,
    config: VifPolicy,
    observed: ObservedState,
    attached: Attached | undefined,
  ): Attachment {
    const ip = observed.ip ?? noIp;
    const wanted = snapshot.gatewaydev ?? config.route.gatewayDevice;
    // By a named gateway device too a guest's packets may leave where default routes lead.
    const dependsOn: Dependency[] = [
      { kind: 'default-route' },
      { kind: 'rules' },
      { kind: 'next-hops' },
      { kind: 'forwarding' },
      ...(wanted === undefined ? [] : [netdev(wanted)]),
    ];
    const gateway = gatewayOf(wanted, observed.links, ip);
    if (gateway !== undefined) dependsOn.push(netdev(gateway.name));
    const asked = snapshot.ip.map(grantedBy);
    const everything = asked.find(isDefault);
    if (everything !== undefined) {
      const what = everything.prefix === 0 ? 'everything' : 'so much that VPNs have it for everything';
      const reason = `it is ${what}, and would replace the domain's own default route`;
      return { problem: routing('route-unusable', snapshot, formatNetwork(everything), reason), dependsOn };
    }
    const twins = twinsOf(snapshot, observed.links);
    dependsOn.push(...twins.dependsOn);
    const takenOf = (some: readonly Network[]): ReturnType<typeof takenByDomain> =>
      takenByDomain(snapshot, some, observed) ?? takenBehindNat(some, snapshot, twins, observed, ip);
    const taken = takenOf(asked);
    if (taken !== undefined) dependsOn.push(...newsOf(taken.holder));
    if (asked.some((network) => !isHost(network))) dependsOn.push({ kind: 'own-addresses' });
    if (taken !== undefined && attached === undefined) return { problem: taken.problem, dependsOn };
    const own = observed.links.ofVif(snapshot.id);
    // What the vif had before this domain took it, it keeps; by a change of its keys it gets no such address.
    const has = (network: Network): boolean =>
      own !== undefined && (isRoutedTo(own, [network], ip) || claimants(network, observed, ip).includes(own));
    const networks = asked.filter((network) => has(network) || takenOf([network]) === undefined);
    dependsOn.push(...asked.map(({ address }): Dependency => ({ kind: 'address', address })));
    const needed = whyNeeded(networks, snapshot, observed);
    if (needed !== undefined && (attached === undefined || !isRoutedTo(own, networks, ip)))
      return { problem: needed, dependsOn };
    const gatewayLoss = whyNoGateway(snapshot, wanted, gateway, networks);
    if (gatewayLoss !== undefined && attached === undefined) return { problem: gatewayLoss, dependsOn };
    const [v4, v6] = ([4, 6] as const).map(
      (family) =>
        addressOf(gateway, family) ?? (attached && (addressOf(attached, family) ?? addressOf(own, family))),
    );
    const wants6 = networks.some(({ family }) => family === 6);
    const no6 = wants6 ? whyNoIpv6(snapshot, observed) : undefined;
    const has6 = wants6 && no6 === undefined;
    const sharesLink = has6 && hasOnLink(snapshot);
    if (sharesLink) dependsOn.push({ kind: 'guests6' });
    // With its last IPv6 address a device loses what it answers for.
    if (has6 && gateway !== undefined) dependsOn.push({ kind: 'ipv6-of', device: gateway.name });
    if (no6 !== undefined) dependsOn.push({ kind: 'ipv6-of', device: deviceName(snapshot) });
    const advertises = has6 && config.route.routerAdvertisements && givenByDhcp6(snapshot.ip).length > 0;
    const served: Service[] = [
      ...(config.route.dhcp === 'dnsmasq' ? ['dhcp' as const] : []),
      ...(advertises ? [dhcp6Port] : []),
    ];
    const filtered = filterFor(snapshot, config, {
      topology: 'route',
      networks,
      reverse: true,
      protectHost: hostServices('vif', [...config.route.services, ...served]),
    });
    if ('problem' in filtered) return { problem: taken?.problem ?? filtered.problem, dependsOn };
    const held = takenOver(networks, snapshot, twins, observed, ip);
    const isTwins = atTwin(own, twins, networks, ip);
    const kept = networks.filter(
      (network) => !held.has(network) && !isTwins(network) && (network.family === 4 || has6),
    );
    const singles = snapshot.ip.filter(
      (entry) => !isWholeNetwork(entry) && hosts(kept).some(({ address }) => address === entry.address),
    );
    const leased = singles.find(({ family }) => family === 4);
    const resolvers = config.route.dns.length > 0 ? config.route.dns : ip.resolvers;
    const dns = ofFamily(resolvers, 4);
    const ways = (family: 4 | 6): Link[] =>
      waysOut(family, observed.links, ip).filter(({ index }) => index !== own?.index);
    const around = [
      ...new Set([...(gateway ? [gateway] : []), ...ways(4), ...ways(6)].map(({ name }) => name)),
    ];
    // A device that is renamed keeps its default route, of which there is no news then.
    dependsOn.push(...around.map(netdev));
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu,
          master: null,
          addresses: [
            ...(v4 ? [hostOf(v4)] : []),
            ...(has6 ? [...routerAddresses6(snapshot, advertises), ...(v6 ? [hostOf(v6)] : [])] : []),
          ],
        },
        ...filtered,
        ...standby(snapshot, networks.length > 0 && networks.every(isTwins)),
        ip: {
          routes: kept.map((to) => ({ to, source: (to.family === 4 ? v4 : v6)?.address })),
          neighbours: hosts(kept),
          mac: snapshot.mac,
          proxies: gateway && { device: gateway.index, name: gateway.name, hosts: hosts(kept) },
          onLink: sharesLink ? onLinkOf(snapshot, own, observed) : [],
          sysctls: [
            ...routerSysctls(
              deviceName(snapshot),
              [gateway, ...ways(4)],
              has6 ? gateway : undefined,
              { links: observed.links, ip },
              has6,
            ),
            ...(sharesLink ? onLinkSysctls(deviceName(snapshot)) : []),
            ...(advertises ? advertisingSysctls(deviceName(snapshot)) : []),
          ],
          masquerades: [],
          forwards: {
            out: around,
            in: around,
            bound: false,
            tracked: isFollowed(own, observed),
            ...((config.route.dhcp === 'off' && !config.route.guestKeys) || dns.length === 0
              ? {}
              : { resolvers: dns }),
          },
          ...servedBy(served),
          dhcp: leaseOf(snapshot, 'route', config, {
            v4: { guest: leased, router: v4?.address, dns, servesNames: false },
            v6: {
              guests: advertises
                ? givenByDhcp6(snapshot.ip).filter((host) =>
                    kept.some(({ address }) => address === host.address),
                  )
                : [],
              dns: ofFamily(resolvers, 6),
            },
            addresses: networks,
          }),
          ...guestKeysOf(snapshot, 'route', config, { guests: singles, router: v4?.address, resolvers }),
          resumes: attached !== undefined,
          twins: twins.links.map(({ index }) => index),
        },
      },
      dependsOn: [...dependsOn, ...[...held.values()].flatMap(newsOf)],
      missing: [
        ...(taken === undefined ? [] : [taken.problem]),
        ...(gatewayLoss === undefined ? [] : [gatewayLoss]),
        ...(no6 === undefined ? [] : [no6]),
        ...(needed === undefined ? [] : [needed]),
        ...(has6 ? unreachedOnLink(snapshot, gateway) : []),
        ...overruled(snapshot, kept, around, observed),
      ],
    };
  },
};

/** Why a guest gets no address that is this domain's own: it would speak as the domain. The vifs have the gateway's. */
function takenByDomain(
  { id }: VifSnapshot,
  networks: readonly Network[],
  observed: ObservedState,
): { problem: OperationError; holder: Link } | undefined {
  const held = holderOf(networks, observed, (link) => vifOfLink(link) !== undefined);
  if (held === undefined) return undefined;
  const { holder, network } = held;
  const reason = `${holder.name} has it as an address of this domain`;
  return {
    holder,
    problem: problem('address-taken', `give ${vifName(id)} the address`, formatNetwork(network), reason),
  };
}

/**
 * Whether connections by a vif are followed: other programs' rules may ask for that, and so does masquerading where the guest is
 * a router by which others' packets leave.
 */
function isFollowed(own: Link | undefined, { othersFilter = false, ip = noIp }: ObservedState): boolean {
  if (othersFilter || own === undefined) return othersFilter;
  const { routes, masquerades } = ip;
  return (
    [...routes.waysOut(4), ...routes.waysOut(6), ...routes.nextHops().map(({ device }) => device)].includes(
      own.index,
    ) || [...masquerades.values()].some(({ uplinks }) => uplinks.includes(own.name))
  );
}

/**
 * What a newer vif has taken over, and that vif. The newest is the one whose netdev came last: the kernel numbers
 * devices in order, and the numbers outlive us. When the newer one goes, its address comes back to the older; a link that is
 * down for a while has not gone.
 */
function takenOver(
  networks: readonly Network[],
  snapshot: VifSnapshot,
  twins: Twins,
  observed: ObservedState,
  ip: IpState,
): Map<Network, Link> {
  const own = observed.links.ofVif(snapshot.id);
  const taken = new Map<Network, Link>();
  if (own === undefined) return taken;
  const isNewer = ({ index }: Link): boolean =>
    index > own.index && !twins.links.some((twin) => twin.index === index);
  for (const network of networks) {
    if (isRoutedTo(own, [network], ip)) continue;
    const routed = routedElsewhere(network, own, observed, ip);
    const other =
      routed !== undefined && isNewer(routed) ? routed : claimants(network, observed, ip).find(isNewer);
    if (other !== undefined) taken.set(network, other);
  }
  return taken;
}
