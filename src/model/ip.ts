import type { Network } from './address.js';
import type { HostServices } from './filter.js';
import type { ForwardedPort } from './forward.js';
import type { GuestKeys } from './guest-keys.js';
import type { Masquerade } from './masquerade.js';
import type { DesiredRoute, RouteView } from './route.js';
import type { Sysctl } from './sysctl.js';

/** The link-local address every routed vif has, so that an IPv6 guest's gateway is the same wherever it runs. */
export const routerLinkLocal = 'fe80::1';

/** What is on the host of a routed or NAT vif, besides its link. */
export interface IpState {
  readonly routes: RouteView;
  /** A sysctl's value by its path below /proc/sys; undefined where there is none. */
  sysctl(name: string): string | undefined;
  /** By guest address. */
  readonly masquerades: ReadonlyMap<string, Masquerade>;
  /** The resolvers of this domain, but for those on the loopback. */
  readonly resolvers: readonly string[];
  /** What dnsmasq is told of a vif, by the vif's name. */
  readonly dhcp: ReadonlyMap<string, string>;
}

/** What a routed or NAT vif should have on the host, besides its link. */
export interface DesiredIp {
  readonly routes: readonly DesiredRoute[];
  /** Hosts behind the vif, whose MAC address the kernel need not ask for. */
  readonly neighbours: readonly Network[];
  /** The guest's MAC address; without one there are no neighbour entries. */
  readonly mac: string | undefined;
  /** Hosts that are answered for at another device; undefined leaves the vif's entries as they are. */
  readonly proxies:
    | { readonly device: number; readonly name: string; readonly hosts: readonly Network[] }
    | undefined;
  /** Other guests that the vif's own takes to be on its link, and that are answered for there. */
  readonly onLink?: readonly Network[];
  readonly sysctls: readonly Sysctl[];
  readonly masquerades: readonly { readonly address: Network; readonly uplink: string }[];
  /** Where its packets are forwarded to and from, besides other guests; undefined for nowhere. */
  readonly forwards?: DesiredForwards;
  /** The ports of this domain that lead to it; absent for none. */
  readonly ports?: readonly ForwardedPort[];
  /** What vifd's dnsmasq serves to it; absent for nothing. */
  readonly served?: HostServices;
  /** What dnsmasq is to be told of it. */
  readonly dhcp: string | undefined;
  /** What its guest is to find in xenstore; absent for nothing. */
  readonly guestKeys?: GuestKeys;
  /** Whether the guest is on the network already: its connections outlast a link that is down for a while. */
  readonly resumes?: boolean;
  /** The indexes of the netdevs of the same guest's card: what moves between them keeps its connections. */
  readonly twins?: readonly number[];
}

/** The devices by which a guest's packets leave the machine, and those by which what others begin comes to it. */
export interface DesiredForwards {
  readonly out: readonly string[];
  readonly in: readonly string[];
  /** Whether these were named, so that the guest's packets leave by no other, also where the machine would forward them. */
  readonly bound: boolean;
  /** Whether nothing but other guests begins connections to it, and ports that are forwarded: it is behind NAT; absent for no. */
  readonly hidden?: boolean;
  /** Whether nothing passes between it and other isolated ones; absent for no. */
  readonly isolated?: boolean;
  /** Whether it reaches private networks; absent for yes. */
  readonly lan?: boolean;
  /** The resolvers that it is told of, which it reaches in any case. */
  readonly resolvers?: readonly string[];
  /** Whether connections are followed (conntrack), as masquerading and other programs' rules need it. */
  readonly tracked: boolean;
}

/** What is on a machine that has none of it. */
export const noIp: IpState = {
  routes: {
    to: () => undefined,
    before: () => undefined,
    onDevice: () => [],
    ours: () => [],
    defaultDevice: () => undefined,
    waysOut: () => [],
    rules: () => [],
    inTable: () => undefined,
    leadsElsewhere: () => false,
    nextHops: () => [],
    neighbours: () => new Map(),
    proxies: () => [],
    proxiesFor: () => [],
    proxiesOf: () => [],
  },
  sysctl: () => undefined,
  masquerades: new Map(),
  resolvers: [],
  dhcp: new Map(),
};
