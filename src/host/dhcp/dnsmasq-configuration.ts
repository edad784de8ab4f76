import { networkOf } from '../../model/address.js';
import { addresses6Of, asksRouter, deviceOfEntry, lease } from '../../model/dhcp-entry.js';
import { servingRouter } from '../../model/router-addresses.js';

/** What entries need of the configuration, beside a file of their own each. */
export interface Needs {
  /** Devices with names that `vifname` gives: netback's are served by a pattern. */
  readonly devices: ReadonlySet<string>;
  /** The networks of IPv6 addresses, with the shortest length that dnsmasq takes: /64. */
  readonly networks: ReadonlySet<string>;
  /** A guest has its router for a resolver. */
  readonly asks: boolean;
}

export function needsOf(entries: readonly string[]): Needs {
  const devices = entries.map(deviceOfEntry).filter((name) => name !== undefined);
  const networks = entries
    .flatMap(addresses6Of)
    .map((address) => networkOf({ family: 6, address, prefix: 64 }).address);
  return {
    devices: new Set(devices.filter((name) => !name.startsWith('vif'))),
    networks: new Set(networks),
    asks: entries.some(asksRouter),
  };
}

/** Whether a dnsmasq that serves these needs serves the others, too. */
export const covers = (served: Needs, needs: Needs): boolean =>
  [...needs.devices].every((device) => served.devices.has(device)) &&
  [...needs.networks].every((network) => served.networks.has(network)) &&
  (served.asks || !needs.asks);

/**
 * What dnsmasq is configured with.
 * @param directories the ones that it watches
 * @param servesNames whether it is the resolver of guests
 */
export function configurationFor(
  needs: Needs,
  directories: { readonly hosts: string; readonly options: string },
  servesNames: boolean,
): string {
  const devices = ['vif*', ...[...needs.devices].sort()];
  return [
    // Guests have their router for a resolver, at an address that stays, and what it asks follows the machine's resolv.conf.
    // Where [nat] dns names others, there is no such service of this machine.
    // A server that has the port already is at that address as well; dnsmasq ends where it cannot have the port it is told.
    // It keeps a request for ten seconds that no server answers. Of its default, 150 of all guests, one guest leaves the others
    // nothing but refusals with 15 names a second that nobody answers for.
    ...(servesNames ? ['except-interface=lo', 'dns-forward-max=10000'] : ['port=0', 'no-resolv']),
    'no-hosts',
    'no-ping',
    'bind-dynamic',
    ...devices.map((name) => `interface=${name}`),
    // Any address that has a file: "static" ranges for the two halves of IPv4.
    'dhcp-range=1.0.0.0,static,128.0.0.0',
    'dhcp-range=128.0.0.0,static,128.0.0.0',
    ...ofIpv6([...needs.networks].sort(), devices),
    `dhcp-hostsdir=${directories.hosts}`,
    `dhcp-optsdir=${directories.options}`,
    // No answer to a client without a file; and authoritative: a client with a lease from before a restart is answered
    // at once (RFC 2131, 4.3.2).
    'dhcp-ignore=tag:!known',
    'dhcp-authoritative',
    // To a guest that has yet to take its address: for an answer to that alone dnsmasq sets a neighbour (SIOCSARP), in place of the
    // permanent one that the vif has.
    'dhcp-broadcast',
    // A name that a guest claims is none to others that ask this resolver.
    'dhcp-ignore-names',
    'leasefile-ro',
    'log-facility=-',
    `pid-file=`,
    '',
  ].join('\n');
}

/**
 * Router advertisements, and DHCPv6 in these networks of /64. A vif has no address in any of them, so they are shared with the network of
 * the address that all vifs have. By the pattern each vif that comes is advertised the network of its own address, which
 * has the advertisements go on there; neither is for the guest to make addresses in.
 */
function ofIpv6(networks: readonly string[], devices: readonly string[]): string[] {
  if (networks.length === 0) return [];
  const { address } = servingRouter;
  const range = (start: string, how = ''): string => `dhcp-range=${start},static,${how}64,${lease}`;
  return [
    'enable-ra',
    // Of a vendor that has no number; else it would be another server's after each restart, to which no client's renewal is addressed.
    'dhcp-duid=0,76:69:66:64',
    range(networkOf(servingRouter).address),
    ...devices.flatMap((name) => [
      range('::', `constructor:${name},`),
      // Seconds between advertisements, and how long a guest keeps its router without (RFC 4861, 6.2.1: the most).
      `ra-param=${name},600,9000`,
    ]),
    ...networks.flatMap((network) => [range(network), `shared-network=${address},${network}`]),
  ];
}
