import type { Network } from './address.js';
import type { BridgePort } from './bridge-port.js';
import type { FirewallView } from './firewall.js';
import type { IpState } from './ip.js';
import type { NamedSets } from './named-set.js';
import type { NftView } from './nft.js';
import type { OvsView } from './ovs-port.js';
import type { ScriptRun } from './script.js';
import { parseBackendDevice, parseVifName, type VifId, vifName } from './vif-id.js';

/** One network device as rtnetlink shows it; the fields `ip -d link` and `ip address` would print. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** IFLA_IFALIAS; vifd writes the vif's name here when it renames a netdev. */
  readonly alias: string | undefined;
  /** The name it had when it was first seen, where it was renamed since. */
  readonly formerName?: string | undefined;
  /** The sysfs name of the device behind it: `vif-5-0` for a netback interface (IFLA_PARENT_DEV_NAME). */
  readonly parent: string | undefined;
  /** `bridge`, `veth`, …; undefined for netback's and most hardware. */
  readonly kind: string | undefined;
  readonly mac: string;
  readonly mtu: number;
  /** Absent where none was, since the netdev was first seen. */
  readonly mtuRefused?: RefusedMtu | undefined;
  readonly up: boolean;
  /** False where the kernel neither asks nor answers ARP and neighbour discovery by it (IFF_NOARP). */
  readonly arp?: boolean | undefined;
  /** The index of the bridge (or other master) it is a port of. */
  readonly master: number | undefined;
  /** Addresses configured on it, without the link-local ones which the kernel makes by itself. */
  readonly addresses: readonly Network[];
  /** What kind of port it is; undefined when it is not a port. */
  readonly port?: BridgePort | undefined;
  readonly txqueuelen?: number | undefined;
  /** The group that firewalls match it by (IFLA_GROUP); 0 by default. */
  readonly group?: number | undefined;
  /**
   * Absent without a carrier, which netback gives a netdev while its frontend is connected. Else the place in the order in
   * which the carriers came, 0 for those that were there when vifd began to look.
   */
  readonly carrierSince?: number | undefined;
  /** Of a bridge: whether it keeps VLANs apart; undefined where the kernel cannot. */
  readonly vlanFiltering?: boolean | undefined;
  /** Of a bridge with the spanning tree: the seconds of each of the two times that a new port waits. */
  readonly forwardDelay?: number | undefined;
  /** Of a bridge: whether it passes frames to the filters of IP, whatever the sysctls say. */
  readonly callsFirewall?: boolean | undefined;
  /** Of a bridge: the VLAN a new port is put into, untagged; 0 for none. */
  readonly vlanDefaultPvid?: number | undefined;
  /** The qdisc whose filters the kernel asks before netdev ingress, `ingress` or `clsact`; absent for none. */
  readonly ingressQdisc?: string | undefined;
}

/** An MTU that a netdev's driver has refused; it `stands` until there is a reason to ask again: another frontend, or a minute. */
export interface RefusedMtu {
  readonly mtu: number;
  readonly stands: boolean;
}

/** The MTU that a netdev can be given of the one that is wanted: its own where the wanted one is refused; undefined for any. */
export const mtuToBe = (
  { mtu, mtuRefused }: Pick<Link, 'mtu' | 'mtuRefused'>,
  wanted: number | undefined,
): number | undefined =>
  wanted !== undefined && mtuRefused?.stands === true && mtuRefused.mtu === wanted ? mtu : wanted;

/** What is on the host now, as far as a vif's fate depends on it. */
export interface ObservedState {
  readonly links: LinkView;
  /** Our tables of nf_tables; undefined counts as none. */
  readonly nft?: NftView;
  /** False where nf_tables takes no chain at a netdev's ingress. */
  readonly canFilter?: boolean;
  /** Routes and what belongs to them. */
  readonly ip?: IpState;
  /** Open vSwitch's database; absent where it is not followed. */
  readonly openvswitch?: OvsView;
  /** Whether other programs have chains at the hooks of netfilter, of whatever kind, or it is not known. */
  readonly othersFilter?: boolean;
  /** The filters of other programs; absent where there are none. */
  readonly firewall?: FirewallView;
  /** The administrator's sets; absent where none are followed. */
  readonly namedSets?: NamedSets;
  /** Operators' scripts that have been run and not been undone, by the vif's name. */
  readonly scripts?: ReadonlyMap<string, ScriptRun>;
  /** The offloads that are known, by the index of the netdev: read when the host was opened, or made since. */
  readonly offloads?: ReadonlyMap<number, Offload>;
}

/** Offloads under the names that `ethtool -K` takes (`tso`, `gro`, `tx`), and whether they are on. */
export type Offload = Readonly<Record<string, boolean>>;

/** Looking links up; the host's table, kept current by rtnetlink, or an array in a test. */
export interface LinkView {
  byName(name: string): Link | undefined;
  byIndex(index: number): Link | undefined;
  /** The netdev of a vif, see {@link vifOfLink}. */
  ofVif(id: VifId): Link | undefined;
  /** Those that have an address, which is an address of this domain. */
  withAddress(address: string): Iterable<Link>;
  /** Those that are no vif's. */
  ofDomain(): Iterable<Link>;
  all(): Iterable<Link>;
}

/**
 * The vif a netdev belongs to: by its parent device, which a rename does not touch, so that hardware is none's whatever its alias
 * is; else by netback's name, which may be its former one; else by the alias which vifd left when it renamed it, where the kind is
 * not one of bridges, bonds or VLANs. The parent alone would do, but kernels before 5.14 do not tell it.
 */
export function vifOfLink({
  parent,
  name,
  alias,
  kind,
  formerName,
}: Pick<Link, 'name' | 'alias' | 'parent' | 'formerName'> & Partial<Pick<Link, 'kind'>>): VifId | undefined {
  if (parent !== undefined) return parseBackendDevice(parent);
  const left = kind === undefined || kind === 'veth' ? alias : undefined;
  return parseVifName(name) ?? parseVifName(left ?? '') ?? parseVifName(formerName ?? '');
}

/** Which of several netdevs that count as a vif's is the vif's: the parent tells more than the name, and that more than an alias; else the newest. */
export function netdevOfVif(id: VifId, links: readonly Link[]): Link | undefined {
  if (links.length < 2) return links[0];
  const rank = ({ parent, name }: Link): number => (parent !== undefined ? 0 : name === vifName(id) ? 1 : 2);
  return [...links].sort((one, other) => rank(one) - rank(other) || other.index - one.index)[0];
}

/** A {@link LinkView} over a list: what the pure functions are tested with. */
export function linkView(links: readonly Link[]): LinkView {
  return {
    all: () => links,
    byIndex: (index) => links.find((link) => link.index === index),
    byName: (name) => links.find((link) => link.name === name),
    ofVif: (id) =>
      netdevOfVif(
        id,
        links.filter((link) => {
          const owner = vifOfLink(link);
          return owner !== undefined && vifName(owner) === vifName(id);
        }),
      ),
    withAddress: (address) =>
      links.filter(({ addresses }) => addresses.some((held) => held.address === address)),
    ofDomain: () => links.filter((link) => vifOfLink(link) === undefined),
  };
}

/** A netdev's counters, in bytes and packets; `rx` is what came out of it, so what the guest sent. */
export interface Traffic {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly txBytes: number;
  readonly txPackets: number;
  /** Packets that the driver or the kernel had no room for; those that a filter dropped are not among them. */
  readonly rxDropped: number;
  readonly txDropped: number;
}
