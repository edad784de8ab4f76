import type { VifSnapshot } from '../../../model/snapshot.js';
import { type VifId, vifName } from '../../../model/vif-id.js';
import type { Ruleset } from '../../../nft/walk/ruleset.js';
import type { Step } from '../../../reconcile/next.js';
import type { SwitchFacts } from './switch.js';

/** A device as `ip -d -j address show` prints it, as far as a packet's way depends on it. */
export interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address?: string;
  readonly master?: string;
  /** The device that it is on, of a VLAN for example. */
  readonly link?: string;
  readonly operstate?: string;
  readonly xdp?: { readonly mode?: number };
  readonly addr_info?: readonly {
    readonly family: string;
    readonly local?: string;
    readonly prefixlen: number;
  }[];
  readonly linkinfo?: {
    readonly info_kind?: string;
    /** Of a bridge; `forward_delay` in hundredths of a second. */
    readonly info_data?: {
      readonly stp_state?: number;
      readonly forward_delay?: number;
      readonly vlan_filtering?: number;
      readonly nf_call_iptables?: number;
      readonly nf_call_ip6tables?: number;
    };
    /** Of a bridge port. */
    readonly info_slave_data?: {
      readonly state?: string;
      readonly isolated?: boolean;
      readonly locked?: boolean;
      readonly learning?: boolean;
      readonly flood?: boolean;
      readonly bcast_flood?: boolean;
    };
  };
}

/** A qdisc by which tc sees what a device takes in: `clsact` or `ingress`. */
export interface IngressQdisc {
  readonly dev: string;
  readonly kind: string;
  /** Whether it has filters at the ingress; true where they cannot be read. */
  readonly hasFilters: boolean;
}

/** A qdisc of a device, and the frames that it or a filter on it has dropped, all in all and while it was looked at. */
export interface Qdisc {
  readonly dev: string;
  readonly kind: string;
  readonly dropped: number;
  readonly meanwhile: number;
}

/** The kernel's answer to a route look-up, or its refusal in words. */
export type RouteAnswer =
  | { readonly dev: string; readonly gateway?: string | undefined; readonly type?: string | undefined }
  | { readonly refused: string };

/** The way of one of the guest's addresses to a destination outside, and of the answer, as the kernel looks them up. */
export interface Trip {
  readonly family: 4 | 6;
  readonly guest: string;
  readonly target: string;
  /** Of a packet that comes in by the vif; the reverse path filter has its say in it. */
  readonly out: RouteAnswer;
  /** Of one of this machine's own, which nothing filters. */
  readonly own: RouteAnswer;
  /** Of one of this machine's own to the guest. */
  readonly toGuest: RouteAnswer;
  /** Of the answer that comes in by the way out; undefined without one. */
  readonly back: RouteAnswer | undefined;
  /** The next hop's entry in the neighbour table, such as `REACHABLE` or `FAILED`; undefined when there is none. */
  readonly nextHop: string | undefined;
}

/** A row of `bridge -j fdb show`. */
export interface FdbEntry {
  readonly mac: string;
  readonly ifname: string;
  readonly state?: string;
  readonly flags?: readonly string[];
}

/** What the way of a vif's packets is judged by: what the kernel and the programs on it say. */
export interface WayFacts {
  readonly id: VifId;
  /** Its keys; undefined when xenstore has none. */
  readonly snapshot: VifSnapshot | undefined;
  /** What vifd would do next for it. */
  readonly step: Step;
  readonly vifdRuns: boolean;
  readonly links: readonly IpLink[];
  readonly ingress: readonly IngressQdisc[];
  readonly tc: readonly Qdisc[];
  /** The netdevs of vifs, by name. */
  readonly vifs: ReadonlySet<string>;
  /** Packets that the guest has sent, and those of them that vifd's filter dropped, by reason. */
  readonly sent: number | undefined;
  readonly drops: Readonly<Record<string, number>>;
  /** The same of the time while this was looked at. */
  readonly meanwhile: { readonly sent: number; readonly drops: Readonly<Record<string, number>> };
  /** The VLANs of ports by name, where bridges filter them. */
  readonly vlans: ReadonlyMap<string, readonly { readonly vid: number; readonly pvid: boolean }[]>;
  readonly fdb: readonly FdbEntry[];
  /** The state of an address in the neighbour table of the vif's netdev. */
  readonly neighbours: ReadonlyMap<string, string>;
  readonly trips: readonly Trip[];
  /** A sysctl's value by its path below /proc/sys. */
  sysctl(name: string): string | undefined;
  /** Every base chain there is, and the rules; or why they cannot be read. */
  readonly ruleset: Ruleset | { readonly reason: string };
  /** Tables of iptables-legacy that are in use and could not be read. */
  readonly unreadLegacy: readonly string[];
  readonly switch: SwitchFacts | undefined;
  /** What listens for DHCP, on port 67: `ours`, or another program by its name. */
  readonly dhcpServer: string | undefined;
  readonly dhcpWanted: boolean;
  /** Whether it is told its router and its IPv6 addresses. */
  readonly advertises: boolean;
  /** Whether guests are told of this domain as their resolver, which asks those it has itself. */
  readonly servesNames: boolean;
  /** The resolvers that guests are told of, or that this domain asks for them. */
  readonly resolvers: readonly string[];
}

/** The name of the vif's netdev as it is now. */
export function netdevName({ step: { verdict }, links, id }: WayFacts): string {
  const own = vifName(id);
  const name = verdict.kind === 'attach' ? verdict.desired.name : own;
  return links.some(({ ifname }) => ifname === name) ? name : own;
}
