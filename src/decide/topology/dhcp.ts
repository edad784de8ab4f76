import { contains, hostOf, isWholeNetwork, type Network, networkOf } from '../../model/address.js';
import { dhcpEntry, type Lease4, type Lease6 } from '../../model/dhcp-entry.js';
import { hostServices, type ServedPort, type Service } from '../../model/filter.js';
import type { DesiredIp } from '../../model/ip.js';
import type { VifPolicy } from '../../model/policy.js';
import { advertisedRouter, servingRouter } from '../../model/router-addresses.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Sysctl } from '../../model/sysctl.js';
import type { TopologyName } from '../../model/topology-name.js';
import { vifName } from '../../model/vif-id.js';
import { optionsOf } from '../vif-options.js';
import { deviceName, linkLocalRouter } from './routed-link.js';

/** What is known of a guest that dnsmasq may serve. */
interface Leased {
  /** Without a guest's or a router's address it is leased no IPv4 address. */
  readonly v4: Omit<Lease4, 'guest' | 'router'> & {
    readonly [Name in 'guest' | 'router']: Lease4[Name] | undefined;
  };
  /** Without any host it is told nothing of IPv6. */
  readonly v6: Lease6;
  /** The addresses by which `[[vif]]` tables match. */
  readonly addresses: readonly Network[];
}

/** What dnsmasq is to be told of a vif: the configuration's values alone, and no word of the guest's; undefined where it is served none. */
export function leaseOf(
  snapshot: VifSnapshot,
  topology: TopologyName & ('nat' | 'route'),
  config: VifPolicy,
  { v4: { guest, router, ...others }, v6, addresses }: Leased,
): string | undefined {
  const { dhcp, routerAdvertisements, ntp, domain } = config[topology];
  const { id, mac, mtu } = snapshot;
  if (mac === undefined) return undefined;
  const v4 =
    dhcp === 'dnsmasq' && guest !== undefined && router !== undefined
      ? { guest, router, ...others }
      : undefined;
  const has6 = routerAdvertisements && v6.guests.length > 0;
  if (v4 === undefined && !has6) return undefined;
  const matched = { domid: id.domid, mac, addresses, topology, bridges: [] };
  const { hostname } = optionsOf(matched, config.vifs);
  const device = deviceName(snapshot);
  return dhcpEntry({
    ...{ vif: vifName(id), device, mac, v4, v6: has6 ? v6 : undefined },
    ...{ ntp, hostname, domain, mtu },
  });
}

/**
 * The IPv6 addresses of `ip` that a guest may be given by DHCPv6: single ones, and of each /64 the first, since dnsmasq gives one
 * in each of its ranges. Of link-local ones a guest chooses its own.
 */
export function givenByDhcp6(entries: readonly Network[]): Network[] {
  const networks = new Set<string>();
  const linkLocal = { ...linkLocalRouter, prefix: 10 };
  return entries
    .filter((entry) => entry.family === 6 && !isWholeNetwork(entry) && !contains(linkLocal, hostOf(entry)))
    .filter((entry) => {
      const { address } = networkOf({ ...entry, prefix: 64 });
      const isFirst = !networks.has(address);
      networks.add(address);
      return isFirst;
    })
    .map(hostOf);
}

/** The addresses by which a vif is the router of a guest that has IPv6: more than one where it advertises itself. */
export const routerAddresses6 = ({ id }: VifSnapshot, advertises: boolean): Network[] => [
  linkLocalRouter,
  ...(advertises ? [servingRouter, advertisedRouter(id)] : []),
];

/**
 * The sysctls of a vif that advertises its router: no link-local address but fe80::1. The kernel's own would come later, with the
 * carrier, and what a multicast packet is sent from is the newest.
 */
export const advertisingSysctls = (vif: string): Sysctl[] => [
  { name: `net/ipv6/conf/${vif}/addr_gen_mode`, value: '1' },
];

/** The port of DHCPv6, which is open to guests that are served. */
export const dhcp6Port: ServedPort = { protocol: 'udp', port: 547 };

/** What dnsmasq serves to a guest, as a part of what is desired. */
export const servedBy = (services: readonly Service[]): Pick<DesiredIp, 'served'> =>
  services.length === 0 ? {} : { served: hostServices('vif', services) };
