import type { Config } from '../config.js';
import { formatNetwork, hostOf, type Network, networkOf } from '../vif/address.js';
import type { Attachment } from '../vif/desired.js';
import { filterFor } from '../vif/filter.js';
import { vifName } from '../vif/id.js';
import { defaultRoute, type IpState, noIp } from '../vif/ip.js';
import type { Link, ObservedState } from '../vif/observed.js';
import { type OperationError, problem } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import { vifMac } from './bridge.js';
import {
  defaultLink,
  deviceName,
  hosts,
  linkLocalRouter,
  routedElsewhere,
  routerSysctls,
} from './routed-link.js';
import type { Topology } from './topology.js';

/** A routed guest has its address from elsewhere, and its resolver too. */
const protectHost = { dhcp: false, dns: false };

/**
 * `vif-route`: the domain routes to the guest. The vif has the gateway device's address, as the stock script has it,
 * and for IPv6 fe80::1 too; each entry of `ip` has a route, and each host is answered for at the gateway device, so
 * that it is reached from a network which knows nothing of this.
 */
export const route: Topology = {
  name: 'route',
  attach(snapshot: VifSnapshot, config: Config, observed: ObservedState): Attachment {
    const ip = observed.ip ?? noIp;
    const wanted = snapshot.gatewaydev ?? config.route.gatewayDevice;
    const dependsOn = [wanted ?? defaultRoute];
    const gateway =
      wanted === undefined
        ? (defaultLink(4, observed.links, ip) ?? defaultLink(6, observed.links, ip))
        : observed.links.byName(wanted);
    if (gateway === undefined) return { problem: noGateway(snapshot, wanted), dependsOn };
    dependsOn.push(gateway.name);

    const networks = snapshot.ip.map(networkOf);
    const everything = networks.find(({ prefix }) => prefix === 0);
    if (everything !== undefined) {
      const reason = "it is everything, and would replace the domain's own default route";
      return { problem: routing(snapshot, formatNetwork(everything), reason), dependsOn };
    }
    const [v4, v6] = ([4, 6] as const).map((family) => addressOf(gateway, family));
    const needsV4 = networks.length === 0 || networks.some(({ family }) => family === 4);
    if (needsV4 && v4 === undefined) {
      const reason = 'it has no IPv4 address; give it one, or name another gatewaydev';
      return { problem: routing(snapshot, `by ${gateway.name}`, reason), dependsOn };
    }
    const has6 = networks.some(({ family }) => family === 6);
    const filtered = filterFor(snapshot, config, { networks, reverse: true, protectHost });
    if ('problem' in filtered) return { ...filtered, dependsOn };
    const held = takenOver(networks, snapshot, observed, ip);
    const kept = networks.filter((network) => !held.has(network));
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
          proxies: { device: gateway.index, name: gateway.name, hosts: hosts(kept) },
          sysctls: routerSysctls(
            deviceName(snapshot),
            [gateway, defaultLink(4, observed.links, ip)],
            has6 ? gateway : undefined,
            { links: observed.links, ip },
            has6,
          ),
          masquerades: [],
          dhcp: undefined,
        },
      },
      dependsOn: [...dependsOn, ...[...held.values()].map(({ name }) => name)],
    };
  },
};

/**
 * What a newer vif has taken over, and that vif. The newest is the one whose netdev came last: the kernel numbers
 * devices in order, and the numbers outlive us. When the newer one goes, its address comes back to the older.
 */
function takenOver(
  networks: readonly Network[],
  snapshot: VifSnapshot,
  observed: ObservedState,
  ip: IpState,
): Map<Network, Link> {
  const own = observed.links.ofVif(snapshot.id);
  const taken = new Map<Network, Link>();
  for (const network of networks) {
    const other = routedElsewhere(network, own, observed, ip);
    if (own !== undefined && other !== undefined && other.index > own.index) taken.set(network, other);
  }
  return taken;
}

const addressOf = ({ addresses }: Link, family: 4 | 6): Network | undefined =>
  addresses.find((network) => network.family === family && !network.address.startsWith('fe80:'));

const routing = ({ id }: VifSnapshot, target: string, reason: string): OperationError =>
  problem(`route ${vifName(id)}`, target, reason, 'route');

const noGateway = (snapshot: VifSnapshot, wanted: string | undefined): OperationError =>
  wanted === undefined
    ? routing(snapshot, 'by the default route', 'there is none; set gatewaydev, or gateway_device in [route]')
    : routing(snapshot, `by ${wanted}`, 'no such device');
