import { nameOf, slotOf } from './addresses.js';

/** The topologies a vif can have, by the end of its script's name. */
export const topologies = ['bridge', 'openvswitch', 'route', 'nat'] as const;
export type Topology = (typeof topologies)[number];

export const bridges = ['xenbr0', 'xenbr1'] as const;
export type Bridge = (typeof bridges)[number];
export const uplinks = ['up0', 'up1'] as const;
export type Uplink = (typeof uplinks)[number];

/** Values of the `vlan` key. */
export const vlans = ['10', '20', '10p/20'] as const;
export type Vlan = (typeof vlans)[number];

/** `[nat] network`: 10.0.0.0/8, where addresses are the stock script's, or a /24, where they follow from the MAC. */
export type NatNetwork = 'stock' | 'small';

/** The keys of a backend directory that a schedule sets; one that is absent is not written, or is removed. */
export interface Keys {
  readonly bridge?: string;
  /** The IPv4 address of the `ip` key, and the IPv6 address in it. */
  readonly ip?: string;
  readonly ip6?: string;
  readonly mtu?: number;
  readonly vifname?: string;
  readonly gatewaydev?: Uplink;
  readonly vlan?: Vlan;
  /** Another MAC address than the one that follows from the vif's slot. */
  readonly othermac?: boolean;
}

/** What the transactions of others do to our nftables. */
export const nftFaults = [
  'flush ruleset',
  ...[
    'flush table netdev vifd',
    'flush table inet vifd',
    'delete table netdev vifd',
    'delete table inet vifd',
  ],
  ...['dormant netdev vifd', 'dormant inet vifd'],
  ...['foreign chain netdev vifd', 'foreign chain inet vifd'],
  ...['flush chain netdev vifd from_ip', 'flush chain inet vifd leaving', 'flush chain of a vif'],
  ...['flush set netdev vifd macs', 'flush set netdev vifd hosts4', 'flush set inet vifd routed'],
  ...['flush set inet vifd masqueraded4', 'flush set inet vifd confined', 'flush set netdev vifd drops'],
  ...['foreign rule inet vifd to_this_machine', 'foreign rule inet vifd leaving'],
  ...['foreign rule netdev vifd guest', 'foreign rule of a vif'],
] as const;
export type NftFault = (typeof nftFaults)[number];

/** What is taken by hand from a routed or NAT vif; the kernel announces the first three to everybody. */
export const handFaults = [
  'route',
  'route6',
  'address',
  'address6',
  'all addresses',
  'neighbour',
  'proxy',
  'forwarding',
  'proxy_arp',
  'forwarding6',
] as const;
export type HandFault = (typeof handFaults)[number];

/** One thing that dom0, netback, a guest, the operator or the network does. */
export type Step =
  | { readonly do: 'come' | 'reuse' | 'script'; vif: number; topology: Topology; keys: Keys }
  | { readonly do: 'go' | 'reconnect' | 'replace' | 'down' | 'hijack' | 'free-name'; vif: number }
  | { readonly do: 'force'; vif: number; first: 'directory' | 'netdev' }
  | { readonly do: 'rush'; vif: number; topology: Topology; keys: Keys; by: 'go' | 'force'; after: number }
  | { readonly do: 'rewrite'; vif: number; keys: { readonly [K in keyof Keys]: Keys[K] | null } }
  | { readonly do: 'same-address' | 'same-name'; vif: number; of: number }
  | { readonly do: 'apart'; vif: number }
  | { readonly do: 'take-name'; vif: number }
  | { readonly do: 'rename'; vif: number; down: boolean }
  | { readonly do: 'bridge'; bridge: Bridge; there: boolean }
  | { readonly do: 'uplink'; uplink: Uplink; become: 'gone' | 'there' | 'down' | 'up' }
  | { readonly do: 'address'; uplink: Uplink; there: boolean }
  | { readonly do: 'default'; uplink: Uplink | null }
  | { readonly do: 'uplinks'; named: readonly Uplink[] | null }
  | { readonly do: 'blink'; what: 'default' | 'address' | 'link' | 'bridge'; ms: number }
  | { readonly do: 'nft'; fault: NftFault }
  | { readonly do: 'hand'; vif: number; fault: HandFault }
  | { readonly do: 'dnsmasq' | 'quiet' }
  | { readonly do: 'ovsdb' | 'vswitchd'; run: boolean }
  | { readonly do: 'vifd'; how: 'stop' | 'kill' | 'start' | 'reload' | 'restart' | 'crash' }
  | { readonly do: 'xenstored'; run: boolean };
export type StepKind = Step['do'];

/** What `hotplug-status` is to read; `pending` is anything but connected. */
export type Status = 'connected' | 'error' | 'pending';

/** One place for a vif: what is in it, if anything. */
export interface VifModel {
  readonly slot: number;
  readonly present: boolean;
  readonly topology: Topology;
  readonly keys: Keys;
  /** Grows with each netdev that is made, as the kernel's numbers do. */
  readonly netdev: number;
  /** The netdev's MTU: without the key it keeps the one that it has, but on a bridge. */
  readonly mtu: number;
  /** The netdev's name now. */
  readonly name: string;
  /** What the daemon has told, when it last could. */
  readonly status: Status;
  /** Whose address and proxies a routed vif has. */
  readonly gateway: Uplink | undefined;
  /** The address of a connected NAT vif that has no `ip` key. */
  readonly planned: string | undefined;
  /** The gateway may also be another: it is gone, and may have been moved before, while the daemon could not be asked. */
  readonly unsure: boolean;
  /** Something was done to it while no daemon could answer. */
  readonly uncertain: boolean;
}

export interface UplinkModel {
  readonly there: boolean;
  readonly up: boolean;
  readonly address: boolean;
}

/** The driver domain and its surroundings as they should be. */
export interface Model {
  readonly vifs: readonly VifModel[];
  readonly bridges: Readonly<Record<Bridge, boolean>>;
  readonly uplinks: Readonly<Record<Uplink, UplinkModel>>;
  readonly defaultRoute: Uplink | undefined;
  /** That of IPv6: an uplink keeps its address of IPv6 while it is up. */
  readonly defaultRoute6: Uplink | undefined;
  readonly natNetwork: NatNetwork;
  /** `[nat] uplink` in vifd.toml. */
  readonly named: readonly Uplink[] | undefined;
  readonly vifd: boolean;
  readonly xenstored: boolean;
  readonly ovsdb: boolean;
  readonly vswitchd: boolean;
  /** ovs-vswitchd has read its database since it was started, and forwards. */
  readonly switching: boolean;
  /** Open vSwitch has the kernel's datapath, by which vifs are filtered as on a bridge. */
  readonly kernelDatapath: boolean;
  /** Names that devices of others have, each with the vif that should have it. */
  readonly foreign: Readonly<Record<string, number>>;
  readonly netdevs: number;
  /** What vifd had made forward is noted in its tables, and may be deleted with them where it cannot note it again. */
  readonly notesLost: boolean;
}

const firstDomid = 10;

/** @param vifs how many slots there are: of each three the last is a second device of the second one's guest */
export function begin(vifs: number, natNetwork: NatNetwork = 'stock'): Model {
  const uplink = { there: true, up: true, address: true };
  return {
    vifs: Array.from({ length: vifs }, (_, i) => {
      const guest = firstDomid + i - Math.floor((i + 1) / 3);
      return absent(slotOf(guest, i % 3 === 2 ? 1 : 0));
    }),
    bridges: { xenbr0: true, xenbr1: true },
    uplinks: { up0: uplink, up1: uplink },
    defaultRoute: 'up0',
    defaultRoute6: 'up0',
    natNetwork,
    named: undefined,
    vifd: true,
    xenstored: true,
    ovsdb: true,
    vswitchd: true,
    switching: true,
    kernelDatapath: false,
    foreign: {},
    netdevs: 0,
    notesLost: false,
  };
}

const absent = (slot: number): VifModel => ({
  slot,
  present: false,
  topology: 'bridge',
  keys: {},
  netdev: 0,
  mtu: 1500,
  name: nameOf(slot),
  status: 'pending',
  gateway: undefined,
  planned: undefined,
  unsure: false,
  uncertain: false,
});

export const isRouted = ({ topology }: VifModel): boolean => topology === 'route' || topology === 'nat';
export const serving = (model: Model): boolean => model.vifd && model.xenstored;
export const isConnected = (vif: VifModel): boolean => vif.present && vif.status === 'connected';

export const vifOf = (model: Model, slot: number): VifModel =>
  model.vifs.find((vif) => vif.slot === slot) as VifModel;
