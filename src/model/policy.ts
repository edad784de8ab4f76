import type { Network } from './address.js';
import type { NewPortFlag } from './bridge-port.js';
import type { Service } from './filter.js';
import type { Forward } from './forward.js';
import type { Group } from './group.js';
import type { TopologyName } from './topology-name.js';
import type { VifOptions } from './vif-options.js';

/** What of the configuration decides about a vif. */
export interface VifPolicy {
  /** How long a netdev may take to appear after its backend directory before that is reported, in ms. */
  readonly netdevTimeoutMs: number;
  /**
   * Which vifs are held to their MAC and their addresses: with `auto` those that have an address, with `strict` all, and
   * one without is refused, with `off` none.
   */
  readonly antispoof: {
    readonly mode: 'auto' | 'strict' | 'off';
    /** Whether guests on bridges may send the frames by which switches speak. */
    readonly controlFrames: boolean;
  };
  /** Of Linux bridges, with the switches of each port where no `[[vif]]` table sets them. */
  readonly bridge: {
    /** Where a vif's MTU comes from when it has no `mtu` key: the bridge's when it joins, or its uplink's, followed. */
    readonly mtu: 'bridge' | 'uplink';
    /** Whether this domain's services are closed to guests on Linux bridges, and those that stay open. */
    readonly protectHost: boolean;
    readonly services: readonly Service[];
  } & { readonly [Flag in NewPortFlag]: boolean | undefined };
  readonly openvswitch: {
    /** What `iface-id` is made of, with names in braces. */
    readonly ifaceId: string;
    /** Whether ports say `iface-status=active`. */
    readonly ifaceStatus: boolean;
    /** Whether a vif is connected only when OVN has the flows for it. */
    readonly waitForOvn: boolean;
    /** Whether guests on Open vSwitch reach nothing of this domain but `services`. */
    readonly protectHost: boolean;
    readonly services: readonly Service[];
  };
  readonly route: {
    /** Whose address a routed vif has when its `gatewaydev` does not say; undefined: the default route's device. */
    readonly gatewayDevice: string | undefined;
    /** The services of this domain that are open to routed guests, besides that of `dhcp`. */
    readonly services: readonly Service[];
    readonly dhcp: 'off' | 'dnsmasq';
    /** Whether dnsmasq advertises this domain as the router of guests' IPv6, and gives them their addresses by DHCPv6. */
    readonly routerAdvertisements: boolean;
    /** The resolvers guests are told of; none: those that this domain has itself. */
    readonly dns: readonly string[];
    readonly ntp: readonly string[];
    readonly domain: string | undefined;
    /** Whether guests find their addresses, router and resolvers in xenstore, where dom0 lets this domain write. */
    readonly guestKeys: boolean;
  };
  readonly nat: {
    /** Where the addresses of guests without `ip` come from, and the prefix length that they are told. */
    readonly network: Network;
    readonly prefix: number;
    /** The devices to masquerade out of, and by which alone guests' packets leave; undefined: wherever default routes lead. */
    readonly uplink: readonly string[] | undefined;
    readonly dhcp: 'off' | 'dnsmasq';
    /** Whether dnsmasq advertises this domain as the router of guests' IPv6, and gives them their addresses by DHCPv6. */
    readonly routerAdvertisements: boolean;
    /** The resolvers guests are told of; none: those of this domain. */
    readonly dns: readonly string[];
    readonly ntp: readonly string[];
    readonly domain: string | undefined;
    /** Whether guests find their addresses, router and resolvers in xenstore, where dom0 lets this domain write. */
    readonly guestKeys: boolean;
    /** The services of this domain that are open to guests, besides those of `dhcp`. */
    readonly services: readonly Service[];
  };
  readonly scripts: {
    /** Where operators' own scripts may be. */
    readonly directories: readonly string[];
    /** Topologies by the file names of scripts which they stand in for. */
    readonly map: ReadonlyMap<string, TopologyName>;
  };
  readonly vifs: readonly VifOptions[];
  readonly forwards: readonly Forward[];
  readonly groups: readonly Group[];
}
