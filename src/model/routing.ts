import type { Network } from './address.js';

/**
 * The protocol number of the routes and neighbour entries that are ours (RTPROT_*, `ip route … proto 120`). Free in
 * linux/rtnetlink.h and in iproute2's rt_protos; everything under it is taken for ours and removed when no vif wants it.
 */
export const ourProtocol = 120;

/** The metric of our routes, as the stock vif-route has it for a vif (1 was for an emulated tap). */
export const ourMetric = 2;

/** The link-local address every routed vif has, so that an IPv6 guest's gateway is the same wherever it runs. */
export const routerLinkLocal = 'fe80::1';

/** A route in the main table, ours or one of others that can stand before ours. */
export interface Route {
  readonly to: Network;
  /** The index of the device it leads to. */
  readonly device: number;
  readonly metric: number;
  /** The source address of what the domain itself sends there. */
  readonly source: string | undefined;
  readonly ours: boolean;
}

/** An address answered for, at a device, by ARP or neighbour discovery: `ip neighbour add proxy`. */
export interface ProxyEntry {
  readonly address: Network;
  readonly device: number;
  /** The vif it was made for, which alone may delete it; undefined for an entry that is left from before. */
  readonly owner: string | undefined;
}

/** Looking up what routes there are; the kernel's tables as far as they concern vifs. */
export interface RouteView {
  /** Our route to exactly this network. */
  to(network: Network): Route | undefined;
  /** A route of others to exactly this network that the kernel takes before ours: its metric is lower. */
  before(network: Network): Route | undefined;
  /** Our routes to a device. */
  onDevice(index: number): readonly Route[];
  /** All our routes. */
  ours(): readonly Route[];
  /** The device the default route of lowest metric leads to. */
  defaultDevice(family: 4 | 6): number | undefined;
  /** Our permanent neighbour entries on a device: the MAC address for each address. */
  neighbours(index: number): ReadonlyMap<string, string>;
  /** Our proxy entries on all devices. */
  proxies(): readonly ProxyEntry[];
}

/** What masquerades an address: the vif that it belongs to, by name, and the device through which it leaves. */
export interface Masquerade {
  readonly owner: string;
  readonly uplink: string;
}

/** What is on the host of a routed or NAT vif, besides its link. */
export interface IpState {
  readonly routes: RouteView;
  /** A sysctl's value by its path below /proc/sys; undefined where there is none. */
  sysctl(name: string): string | undefined;
  /** By guest address. */
  readonly masquerades: ReadonlyMap<string, Masquerade>;
  /** What dnsmasq is told of a vif, by the vif's name. */
  readonly dhcp: ReadonlyMap<string, string>;
}

/** What a routed or NAT vif should have on the host, besides its link. */
export interface DesiredIp {
  readonly routes: readonly DesiredRoute[];
  /** Hosts behind the vif, whose MAC address needs no asking. */
  readonly neighbours: readonly Network[];
  /** The guest's MAC address; without one there are no neighbour entries. */
  readonly mac: string | undefined;
  /** Hosts that are answered for at another device; undefined leaves the vif's entries as they are. */
  readonly proxies:
    | { readonly device: number; readonly name: string; readonly hosts: readonly Network[] }
    | undefined;
  readonly sysctls: readonly Sysctl[];
  readonly masquerades: readonly { readonly address: Network; readonly uplink: string }[];
  /** What dnsmasq is to be told of it. */
  readonly dhcp: string | undefined;
}

export interface DesiredRoute {
  readonly to: Network;
  readonly source: string | undefined;
}

/** `name` is the path below /proc/sys, because a device's name may have dots. */
export interface Sysctl {
  readonly name: string;
  readonly value: string;
}

/** A machine without any of it. */
export const noIp: IpState = {
  routes: {
    to: () => undefined,
    before: () => undefined,
    onDevice: () => [],
    ours: () => [],
    defaultDevice: () => undefined,
    neighbours: () => new Map(),
    proxies: () => [],
  },
  sysctl: () => undefined,
  masquerades: new Map(),
  dhcp: new Map(),
};
