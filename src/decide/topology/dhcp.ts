import type { Network } from '../../model/address.js';
import { dhcpEntry } from '../../model/dhcp-entry.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { TopologyName } from '../../model/topology-name.js';
import { vifName } from '../../model/vif-id.js';
import { optionsOf } from '../vif-options.js';
import { deviceName } from './routed-link.js';

/** The address that a guest is leased, with the prefix length of its network, and its router's. */
interface Leased {
  readonly guest: Network | undefined;
  readonly router: string | undefined;
  /** The addresses by which `[[vif]]` tables match. */
  readonly addresses: readonly Network[];
  readonly dns: readonly string[];
  /** Whether this domain's dnsmasq answers for names where the router is the resolver. */
  readonly servesNames: boolean;
}

/** What dnsmasq is to be told of a vif: the configuration's values alone, and no word of the guest's; undefined where it is served none. */
export function leaseOf(
  snapshot: VifSnapshot,
  topology: TopologyName & ('nat' | 'route'),
  config: VifPolicy,
  { guest, router, addresses, dns, servesNames }: Leased,
): string | undefined {
  const { dhcp, ntp, domain } = config[topology];
  const { id, mac, mtu } = snapshot;
  if (dhcp !== 'dnsmasq' || mac === undefined || guest === undefined || router === undefined)
    return undefined;
  const matched = { domid: id.domid, mac, addresses, topology, bridges: [] };
  const { hostname } = optionsOf(matched, config.vifs);
  const device = deviceName(snapshot);
  return dhcpEntry({
    ...{ vif: vifName(id), device, mac, guest, router, dns, servesNames },
    ...{ ntp, hostname, domain, mtu },
  });
}
