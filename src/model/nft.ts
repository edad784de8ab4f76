import { formatNetwork, isHost, type Network } from './address.js';
import type { Sysctl } from './sysctl.js';

/** The tables that are vifd's, as nft names them. The last one is an earlier release's, for masquerading. */
export const tables = ['netdev vifd', 'inet vifd', 'bridge vifd', 'inet vifd-nat'] as const;

export type Table = (typeof tables)[number];

/** Those with rules in `src/nft/vifd.nft`. */
export const ruledTables = ['netdev vifd', 'inet vifd', 'bridge vifd'] as const;

export type RuledTable = (typeof ruledTables)[number];

/** What a part of a set's key is, in nft's words; `number` is a field of 32, 48 or 128 bits that nft has no type for. */
export type KeyPart =
  | 'ifname'
  | 'ether_addr'
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'inet_proto'
  | 'inet_service'
  | 'number'
  | 'iface_index'
  | 'mark'
  | 'nf_proto';

/** The sets whose elements are a vif's: the table, what a key consists of, and of a map what the value consists of. */
export const sets = {
  unheld: { table: 'netdev vifd', key: ['ifname'] },
  mac_only: { table: 'netdev vifd', key: ['ifname'] },
  switches: { table: 'netdev vifd', key: ['ifname'] },
  macs: { table: 'netdev vifd', key: ['ifname', 'ether_addr'] },
  tagged: { table: 'netdev vifd', key: ['ifname'] },
  speaks4: { table: 'netdev vifd', key: ['ifname'] },
  speaks6: { table: 'netdev vifd', key: ['ifname'] },
  hosts4: { table: 'netdev vifd', key: ['ifname', 'ipv4_addr'] },
  hosts6: { table: 'netdev vifd', key: ['ifname', 'ipv6_addr'] },
  networks4: { table: 'netdev vifd', key: ['ifname', 'ipv4_addr'], intervals: true },
  networks6: { table: 'netdev vifd', key: ['ifname', 'ipv6_addr'], intervals: true },
  dhcp_hosts: { table: 'netdev vifd', key: ['ifname', 'number'] },
  dhcp_networks: { table: 'netdev vifd', key: ['ifname', 'number'], intervals: true },
  nd_hosts: { table: 'netdev vifd', key: ['ifname', 'number'] },
  nd_networks: { table: 'netdev vifd', key: ['ifname', 'number'], intervals: true },
  nd_macs: { table: 'netdev vifd', key: ['ifname', 'number'] },
  limit_from: { table: 'netdev vifd', key: ['ifname'], limit: 'bytes' },
  limit_packets: { table: 'netdev vifd', key: ['ifname'], limit: 'packets' },
  limit_broadcast: { table: 'netdev vifd', key: ['ifname'], limit: 'packets' },
  limit_to: { table: 'netdev vifd', key: ['ifname'], limit: 'bytes' },
  group_marks: { table: 'netdev vifd', key: ['ifname'], value: ['mark'] },
  marked_members: { table: 'netdev vifd', key: ['ifname', 'mark'] },
  closed: { table: 'netdev vifd', key: ['ifname'] },
  closed_dhcp: { table: 'netdev vifd', key: ['ifname'] },
  closed_services: { table: 'netdev vifd', key: ['ifname', 'inet_proto', 'inet_service'] },
  ports: { table: 'bridge vifd', key: ['ifname'] },
  parted: { table: 'bridge vifd', key: ['ifname'] },
  port_groups: { table: 'bridge vifd', key: ['ifname'], value: ['mark'] },
  port_members: { table: 'bridge vifd', key: ['ifname', 'mark'] },
  port_drops: { table: 'bridge vifd', key: ['ifname'] },
  routed: { table: 'inet vifd', key: ['ifname'] },
  confined: { table: 'inet vifd', key: ['ifname'] },
  dhcp_clients: { table: 'inet vifd', key: ['ifname'] },
  services: { table: 'inet vifd', key: ['ifname', 'inet_proto', 'inet_service'] },
  masqueraded4: { table: 'inet vifd', key: ['ipv4_addr', 'ifname'] },
  masqueraded6: { table: 'inet vifd', key: ['ipv6_addr', 'ifname'] },
  bound: { table: 'inet vifd', key: ['ifname'] },
  guests: { table: 'inet vifd', key: ['ifname'] },
  ways_out: { table: 'inet vifd', key: ['ifname', 'ifname'] },
  ways_in: { table: 'inet vifd', key: ['ifname', 'ifname'] },
  isolated: { table: 'inet vifd', key: ['ifname'] },
  unreached: { table: 'inet vifd', key: ['ifname'] },
  grouped: { table: 'inet vifd', key: ['ifname'] },
  guest_groups: { table: 'inet vifd', key: ['ifname'], value: ['mark'] },
  guest_members: { table: 'inet vifd', key: ['ifname', 'mark'] },
  group_drops: { table: 'inet vifd', key: ['ifname'] },
  no_lan: { table: 'inet vifd', key: ['ifname'] },
  ways_beyond: { table: 'inet vifd', key: ['ifname', 'ifname'] },
  resolvers: { table: 'inet vifd', key: ['ifname', 'ipv4_addr'] },
  lan_drops: { table: 'inet vifd', key: ['ifname'] },
  served: { table: 'inet vifd', key: ['ifname', 'inet_proto', 'inet_service'] },
  limit_requests: { table: 'inet vifd', key: ['ifname'], limit: 'packets' },
  request_drops: { table: 'inet vifd', key: ['ifname'] },
  untracked: { table: 'inet vifd', key: ['ifname'] },
  opened4: { table: 'inet vifd', key: ['ifname'] },
  opened6: { table: 'inet vifd', key: ['ifname'] },
  behind_nat: { table: 'inet vifd', key: ['ifname'] },
  opened_devices: { table: 'inet vifd', key: ['iface_index'] },
  opened_families: { table: 'inet vifd', key: ['nf_proto'] },
  forwards4: {
    table: 'inet vifd',
    key: ['ipv4_addr', 'inet_proto', 'inet_service'],
    value: ['ipv4_addr', 'inet_service'],
  },
  forwards6: {
    table: 'inet vifd',
    key: ['ipv6_addr', 'inet_proto', 'inet_service'],
    value: ['ipv6_addr', 'inet_service'],
  },
  hairpins4: { table: 'inet vifd', key: ['ipv4_addr', 'ipv4_addr'] },
  hairpins6: { table: 'inet vifd', key: ['ipv6_addr', 'ipv6_addr'] },
  reached: { table: 'inet vifd', key: ['ifname'] },
  // An earlier release's.
  reverse: { table: 'inet vifd', key: ['iface_index'] },
  protected: { table: 'inet vifd', key: ['iface_index'] },
  dhcp: { table: 'inet vifd', key: ['iface_index'] },
  dns: { table: 'inet vifd', key: ['iface_index'] },
  dns_clients: { table: 'inet vifd', key: ['ifname'] },
  guests4: { table: 'inet vifd-nat', key: ['ipv4_addr', 'ifname'] },
  guests6: { table: 'inet vifd-nat', key: ['ipv6_addr', 'ifname'] },
} as const satisfies Record<string, SetSpec>;

interface SetSpec {
  readonly table: Table;
  readonly key: readonly KeyPart[];
  readonly value?: readonly KeyPart[];
  /** What the limit of each element counts; absent for none. */
  readonly limit?: 'bytes' | 'packets';
  /** Whether its elements are intervals: networks. */
  readonly intervals?: true;
}

/** What a set is; a map has a value, and an element may have a limit. */
export const specOf = (set: SetName): SetSpec => sets[set];

export type SetName = keyof typeof sets;

/** What an earlier release has in the table `inet vifd`, and this one does not know: in the order it can be deleted. */
export const earlierChains: readonly string[] = ['prerouting', 'input'];

export const earlierSets: readonly string[] = [
  'reverse',
  'protected',
  'dhcp',
  'dns',
  'dns_clients',
  'itself',
];

/** The set of what was dropped, by netdev and reason; its elements are made by packets. */
export const dropsSet = 'drops';

/** Why a packet is dropped, by the mark it has in `src/nft/vifd.nft`; 0 means none. */
export const dropReasons: readonly string[] = [
  '',
  'source MAC',
  'VLAN tag',
  'EtherType',
  'ARP sender MAC',
  'ARP sender address',
  'malformed ARP',
  'IPv4 without an address',
  'IPv4 source',
  'malformed IPv4',
  'DHCP server',
  'router advertisement or redirect',
  'IPv6 source',
  'IPv6 without an address',
  'neighbour discovery',
  'malformed IPv6',
  'ICMPv6 type',
  'IPv6 fragment',
  'control frame',
  'multicast router',
  'DHCP client',
  'IPv6 protocol',
  'multicast report',
  'rate from guest',
  'packets from guest',
  'broadcast from guest',
  'rate to guest',
  'another group',
];

/** The sets of which a vif's netdev is in one while it has a filter. */
export const filterSets: ReadonlySet<SetName> = new Set(['macs', 'unheld']);

/** Why a packet is dropped that an element of one of these sets counts. */
export const countingSets = {
  routed: 'address of a guest',
  confined: 'the driver domain itself',
  isolated: 'isolated',
  port_drops: 'another group',
  group_drops: 'another group',
  lan_drops: 'private network',
  request_drops: 'too many requests',
  bound: 'no other way out',
  opened4: 'no other way out',
  opened6: 'no other way out',
} as const satisfies Partial<Record<SetName, string>>;

/**
 * An element of a set. The parts of its key are as {@link sets} says: an address may have a prefix length. In a map the parts of
 * the value follow those of the key, and where elements have a limit its rate a second and its burst.
 */
export interface Element {
  readonly set: SetName;
  readonly key: readonly string[];
}

/** A text that is equal for equal elements, to find them by. */
export const elementId = ({ set, key }: Element): string => `${set} ${key.join(' . ')}`;

/** The same for elements that differ in their value or limit only, of which there can be one; undefined where they have neither. */
export const mapKeyId = ({ set, key }: Element): string | undefined => {
  const spec = specOf(set);
  return (spec.value ?? spec.limit) && `${set} ${key.slice(0, spec.key.length).join(' . ')}`;
};

/** The element by which a netdev's filter lets its guest speak from an address, or from all of a network. */
export const spokenFrom = (device: string, network: Network): Element =>
  isHost(network)
    ? { set: `hosts${network.family}`, key: [device, network.address] }
    : { set: `networks${network.family}`, key: [device, formatNetwork(network)] };

/**
 * Whether an element is of a set of intervals. The kernel changes such a set a moment after all else that is in the same transaction is in
 * force (nf_tables_commit: nft_set_commit_update comes last).
 */
export const isOfIntervals = ({ set }: Element): boolean => specOf(set).intervals === true;

export const tableOf = ({ set }: Element): Table => sets[set].table;

/** The sets of what vifd made forward. Their elements are no vif's but all vifs', and stay as long as their table. */
export const isOpenedSet = (set: string): set is 'opened_devices' | 'opened_families' =>
  set === 'opened_devices' || set === 'opened_families';

/** One change of nf_tables. */
export type NftChange =
  /** Makes a table's rules what they are to be; the elements of its sets stay. `rules` is what `nft -f` takes for that. */
  | { readonly change: 'set-rules'; readonly table: RuledTable; readonly rules: string }
  /** Makes a dormant table work again. `flags` are those that it keeps. */
  | { readonly change: 'wake-table'; readonly table: RuledTable; readonly flags: string | undefined }
  | { readonly change: 'delete-table'; readonly table: Table }
  /** Makes a vif's chain at its netdev, or makes it so again. */
  | ({ readonly change: 'set-chain'; readonly owner: string } & DesiredChain)
  | { readonly change: 'delete-chain'; readonly chain: string }
  | { readonly change: 'add-element'; readonly element: Element; readonly owner: string }
  /** Notes what vifd makes forward, and did not before; no vif owns that, since the next one finds it switched on. */
  | { readonly change: 'add-opened'; readonly element: Element }
  /** `of`: the vif that gives it up; absent where it goes whose ever it is. One that is another's by then stays. */
  | { readonly change: 'delete-element'; readonly element: Element; readonly of?: string }
  /** Deletes what was counted for a netdev, so that the next one of the name begins with nothing. */
  | { readonly change: 'forget-drops'; readonly device: string }
  /** Deletes the chains and sets that an earlier release has left in `inet vifd`. */
  | ({ readonly change: 'delete-earlier' } & Earlier);

/** Chains and sets of an earlier release in the table `inet vifd`. */
export interface Earlier {
  readonly chains: readonly string[];
  readonly sets: readonly string[];
}

/** A transaction of nf_tables: all of its changes, or none. */
export interface NftAction {
  readonly kind: 'nft';
  /** The vif that it is for. */
  readonly vif: string;
  /** What is switched off before, once it is certain that no other vif needs the table that the changes delete. */
  readonly closes?: readonly Sysctl[];
  readonly changes: readonly NftChange[];
}

/**
 * A vif's chain: it sends all that comes in by a netdev to the rules, or where it `limits`, by those for limits, or where it `marks`, by
 * those for groups on a switch, and then by those for limits; or, where it `blocks`, passes nothing.
 */
export interface DesiredChain {
  /** Named after the vif and its netdev's index: a netdev that netback made anew has a chain of its own. */
  readonly chain: string;
  /** The name of the netdev it is bound to. */
  readonly device: string;
  /** Whether it is bound to what leaves by the netdev, and not to what comes in. */
  readonly egress?: boolean;
  readonly blocks?: boolean;
  readonly limits?: boolean;
  readonly marks?: boolean;
}

/** The comment of the one rule of a vif's chain. */
export const chainMark = (
  vif: string,
  { blocks = false, limits = false, marks = false }: Pick<DesiredChain, 'blocks' | 'limits' | 'marks'>,
): string => (blocks ? `${vif} blocked` : marks ? `${vif} grouped` : limits ? `${vif} limited` : vif);

/** A vif's chain as it is in the kernel. */
export interface InstalledChain {
  /** Named after the vif and its netdev's index: a netdev that netback made anew has a chain of its own. */
  readonly chain: string;
  /** The name of the netdev it is bound to. */
  readonly device: string;
  /** It is surely bound, drops by default, and has its one rule and no other. */
  readonly fits: boolean;
  /** Whether that rule drops everything, is for limits, or for groups; absent for no. */
  readonly blocks?: boolean;
  readonly limits?: boolean;
  readonly marks?: boolean;
}

/** What is in the kernel under our tables' names. */
export interface NftView {
  /** What `nft -f` takes to make the rules of a table what they are to be; undefined when they are. */
  missingRules(table: RuledTable): string | undefined;
  /** The other flags of a table that is dormant; undefined when it works, or is not there. */
  dormant(table: RuledTable): { readonly flags: string | undefined } | undefined;
  /** The chains of a vif: none, one, or left-overs besides. */
  chains(vif: string): readonly InstalledChain[];
  /** The elements of a vif. */
  elements(vif: string): readonly Element[];
  /** Elements keyed by a netdev's name that are not this vif's: another's by hand, or a vif's that had the name before. */
  strangers(device: string, vif: string): readonly Element[];
  /** The vif an element belongs to, an empty string for none; undefined when there is no such element. */
  owner(element: Element): string | undefined;
  /** The netdevs whose filter lets their guest speak from a network, as {@link spokenFrom} has it, whosever that is. */
  speakers(network: Network): readonly string[];
  /** The element that a map has in the place of this one, since it has the same key and another value. */
  rival(element: Element): Element | undefined;
  /** What vifd made forward while its table was there, also where another program has deleted the elements since. */
  opened(): readonly Element[];
  /** Whether an element of {@link opened} is there. */
  isNoted(element: Element): boolean;
  /** Whether a table is there and has nothing but its rules and what is this vif's. */
  isAll(table: Table, vif: string): boolean;
  /** What an earlier release has left in `inet vifd`, when there is no element in that but this vif's. */
  earlier(vif: string): Earlier | undefined;
}
