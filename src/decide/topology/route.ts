import { contains, formatNetwork, grantedBy, hostOf, isHost, type Network } from '../../model/address.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import type { Attached } from '../../model/desired.js';
import type { ErrorCode } from '../../model/error-codes.js';
import { hostServices } from '../../model/filter.js';
import { type IpState, noIp } from '../../model/ip.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import { isDefault } from '../../model/route.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { filterFor } from '../antispoof.js';
import { type Twins, twinsOf } from '../twins.js';
import { vifMac } from './bridge.js';
import {
  atTwin,
  defaultLink,
  deviceName,
  hasOnLink,
  hosts,
  linkLocalRouter,
  onLinkOf,
  onLinkSysctls,
  overruled,
  routedElsewhere,
  routerSysctls,
  waysOut,
  whyNeeded,
  whyNoIpv6,
} from './routed-link.js';
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
    const dependsOn: Dependency[] = [wanted === undefined ? { kind: 'default-route' } : netdev(wanted)];
    const gateway =
      wanted === undefined
        ? (defaultLink(4, observed.links, ip) ?? defaultLink(6, observed.links, ip))
        : observed.links.byName(wanted);
    if (gateway !== undefined) dependsOn.push(netdev(gateway.name));
    const networks = snapshot.ip.map(grantedBy);
    const everything = networks.find(isDefault);
    if (everything !== undefined) {
      const what = everything.prefix === 0 ? 'everything' : 'so much that VPNs have it for everything';
      const reason = `it is ${what}, and would replace the domain's own default route`;
      return { problem: routing('route-unusable', snapshot, formatNetwork(everything), reason), dependsOn };
    }
    const taken = ofDomain(snapshot, networks, observed);
    if (taken !== undefined && attached === undefined) {
      return { problem: taken.problem, dependsOn: [...dependsOn, netdev(taken.holder.name)] };
    }
    dependsOn.push(...networks.map(({ address }): Dependency => ({ kind: 'address', address })));
    const needed = whyNeeded(networks, snapshot, observed);
    const own = observed.links.ofVif(snapshot.id);
    const isHeld =
      own !== undefined && networks.every((network) => ip.routes.to(network)?.device === own.index);
    if (needed !== undefined && (attached === undefined || !isHeld)) return { problem: needed, dependsOn };
    const gatewayLoss = whyNoGateway(snapshot, wanted, gateway, networks);
    if (gatewayLoss !== undefined && attached === undefined) return { problem: gatewayLoss, dependsOn };
    const link = observed.links.ofVif(snapshot.id);
    const [v4, v6] = ([4, 6] as const).map(
      (family) =>
        addressOf(gateway, family) ?? (attached && (addressOf(attached, family) ?? addressOf(link, family))),
    );
    const wants6 = networks.some(({ family }) => family === 6);
    const no6 = wants6 ? whyNoIpv6(snapshot, observed) : undefined;
    const has6 = wants6 && no6 === undefined;
    const sharesLink = has6 && hasOnLink(snapshot);
    if (sharesLink) dependsOn.push({ kind: 'guests6' });
    if (no6 !== undefined) dependsOn.push({ kind: 'ipv6-of', device: deviceName(snapshot) });
    const filtered = filterFor(snapshot, config, {
      topology: 'route',
      networks,
      reverse: true,
      protectHost: hostServices('vif', config.route.services),
    });
    if ('problem' in filtered) return { ...filtered, dependsOn };
    const twins = twinsOf(snapshot, observed.links);
    dependsOn.push(...twins.dependsOn);
    const held = takenOver(networks, snapshot, twins, observed, ip);
    const isTwins = atTwin(link, twins, networks, ip);
    const kept = networks.filter(
      (network) => !held.has(network) && !isTwins(network) && (network.family === 4 || has6),
    );
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu,
          master: null,
          addresses: [
            ...(v4 ? [hostOf(v4)] : []),
            ...(has6 ? [linkLocalRouter, ...(v6 ? [hostOf(v6)] : [])] : []),
          ],
        },
        ...filtered,
        ip: {
          routes: kept.map((to) => ({ to, source: (to.family === 4 ? v4 : v6)?.address })),
          neighbours: hosts(kept),
          mac: snapshot.mac,
          proxies: gateway && { device: gateway.index, name: gateway.name, hosts: hosts(kept) },
          onLink: sharesLink ? onLinkOf(snapshot, own, observed) : [],
          sysctls: [
            ...routerSysctls(
              deviceName(snapshot),
              [gateway, ...waysOut(4, observed.links, ip).filter(({ index }) => index !== link?.index)],
              has6 ? gateway : undefined,
              { links: observed.links, ip },
              has6,
            ),
            ...(sharesLink ? onLinkSysctls(deviceName(snapshot)) : []),
          ],
          masquerades: [],
          dhcp: undefined,
          twins: twins.links.map(({ index }) => index),
        },
      },
      dependsOn: [...dependsOn, ...[...held.values()].map(({ name }) => netdev(name))],
      missing: [
        ...(taken === undefined ? [] : [taken.problem]),
        ...(gatewayLoss === undefined ? [] : [gatewayLoss]),
        ...(no6 === undefined ? [] : [no6]),
        ...(needed === undefined ? [] : [needed]),
        ...overruled(snapshot, kept, observed),
      ],
    };
  },
};

/** Why a guest can't have addresses that are this domain's own: it would speak as the domain. The vifs have the gateway's. */
function ofDomain(
  snapshot: VifSnapshot,
  networks: readonly Network[],
  { links }: ObservedState,
): { problem: OperationError; holder: Link } | undefined {
  for (const holder of links.all()) {
    if (vifOfLink(holder) !== undefined) continue;
    for (const network of networks) {
      if (!holder.addresses.some((own) => contains(network, hostOf(own)))) continue;
      const reason = `${holder.name} has it as an address of this domain`;
      const { address } = isHost(network) ? network : { address: formatNetwork(network) };
      return {
        holder,
        problem: problem('address-taken', `give ${vifName(snapshot.id)} the address`, address, reason),
      };
    }
  }
  return undefined;
}

/** Why there is no gateway device, or none with the address that is needed; undefined when there is. */
function whyNoGateway(
  snapshot: VifSnapshot,
  wanted: string | undefined,
  gateway: Link | undefined,
  networks: readonly Network[],
): OperationError | undefined {
  if (gateway === undefined) return noGateway(snapshot, wanted);
  const needsV4 = networks.length === 0 || networks.some(({ family }) => family === 4);
  if (!needsV4 || addressOf(gateway, 4) !== undefined) return undefined;
  const reason = 'it has no IPv4 address; give it one, or name another gatewaydev';
  return routing('gateway-address-missing', snapshot, `by ${gateway.name}`, reason);
}

/**
 * What a newer vif has taken over, and that vif. The newest is the one whose netdev came last: the kernel numbers
 * devices in order, and the numbers outlive us. When the newer one goes, its address comes back to the older.
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
  for (const network of networks) {
    const other = routedElsewhere(network, own, observed, ip);
    if (other === undefined || twins.links.some(({ index }) => index === other.index)) continue;
    if (own !== undefined && other.index > own.index) taken.set(network, other);
  }
  return taken;
}

const addressOf = (link: Pick<Link, 'addresses'> | undefined, family: 4 | 6): Network | undefined =>
  link?.addresses.find((network) => network.family === family && !network.address.startsWith('fe80:'));

const routing = (code: ErrorCode, { id }: VifSnapshot, target: string, reason: string): OperationError =>
  problem(code, `route ${vifName(id)}`, target, reason);

const noGateway = (snapshot: VifSnapshot, wanted: string | undefined): OperationError =>
  wanted === undefined
    ? routing(
        'gateway-missing',
        snapshot,
        'by the default route',
        'there is none; set gatewaydev, or gateway_device in [route]',
      )
    : routing('gateway-missing', snapshot, `by ${wanted}`, 'no such device');
