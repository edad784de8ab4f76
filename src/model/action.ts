import type { Network } from './address.js';
import type { PortSwitches } from './bridge-port.js';
import type { ServedPort } from './filter.js';
import type { NftAction } from './nft.js';
import type { Offload } from './observed.js';
import type { DesiredOvsPort, markKeys, OvsPort } from './ovs-port.js';
import type { DesiredRoute } from './route.js';
import type { DesiredScript } from './script.js';
import type { Sysctl } from './sysctl.js';
import type { VifId } from './vif-id.js';
import type { PortVlan } from './vlan.js';

/** Changes of one netdev that go out as one RTM_SETLINK. */
export interface LinkChanges {
  readonly name?: string;
  readonly alias?: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly txqueuelen?: number;
  readonly group?: number;
  /** The master's index, 0 for none, as IFLA_MASTER has it; and its name, for people. */
  readonly master?: { readonly index: number; readonly name: string | undefined };
  /** The kernel forgets all neighbours of the device with this change. */
  readonly arp?: true;
  readonly up?: boolean;
}

/** One change of the host. A plan is performed in order and stops at the first error. */
export type Action =
  | OvsAction
  | NftAction
  | On<'set-link', { readonly changes: LinkChanges }>
  | IpAction
  /** Sets a bridge's MTU by hand to what it is: from then on it does not follow the smallest of its ports (br_mtu_auto_adjust). */
  | On<'pin-mtu', { readonly mtu: number }>
  | On<'set-port', { readonly flags: PortSwitches }>
  | On<'add-vlans' | 'delete-vlans', { readonly vlans: readonly PortVlan[] }>
  | On<'set-offload', { readonly offload: Offload }>
  /** Changes of an administrator's set in nf_tables, which `set` names by family, table and name. */
  | {
      readonly kind: 'add-to-set' | 'delete-from-set';
      readonly vif: string;
      readonly set: string;
      readonly values: readonly string[];
    }
  /** Starts an operator's script for a vif, and does not wait for its end. */
  | { readonly kind: 'run-script'; readonly id: VifId; readonly script: DesiredScript }
  /** Takes note of a script that another agent has run before. */
  | { readonly kind: 'adopt-script'; readonly id: VifId; readonly script: DesiredScript }
  /** Runs the script that is in force once more, to undo what it did, and waits for that. */
  | { readonly kind: 'undo-script'; readonly id: VifId; readonly file: string };

/** What marks a port as a vif's, see {@link markKeys}; a mark that is absent is taken away. */
export type Marks = Readonly<Record<typeof markKeys.owner | typeof markKeys.ifindex, string>> &
  Readonly<Partial<Record<typeof markKeys.vlan | typeof markKeys.kept, string>>>;

/** Changes of Open vSwitch's database; each is one transaction. */
export type OvsAction =
  | {
      readonly kind: 'ovs-add-port';
      readonly name: string;
      readonly marks: Marks;
      readonly port: DesiredOvsPort;
      /** Deletes what is noted of it; absent where nothing is. */
      readonly forgets?: true;
    }
  /** Changes a port where it is: no packet is lost. */
  | {
      readonly kind: 'ovs-set-port';
      readonly name: string;
      readonly marks: Marks;
      readonly port: DesiredOvsPort;
      readonly before: OvsPort;
    }
  /** Has an internal port keep the MTU that it has, whatever the bridge's other ports have. */
  | { readonly kind: 'ovs-pin-mtu'; readonly name: string; readonly uuid: string; readonly mtu: number }
  | {
      readonly kind: 'ovs-delete-port';
      readonly port: OvsPort;
      /** Whether the netdev is there and goes elsewhere, so that ovs-vswitchd must have let it go afterwards. */
      readonly release: boolean;
      /** What its bridge keeps of it until it is made anew, see {@link noteKey}; absent for nothing. */
      readonly note?: string;
    }
  /** Deletes what is noted of a vif's port that is not made anew. */
  | { readonly kind: 'ovs-delete-note'; readonly bridge: string; readonly vif: string };

/** Changes of what a routed or NAT vif has besides its link. `index` and `name` are a device's. */
export type IpAction =
  | On<'add-address' | 'delete-address', { readonly address: Network }>
  | On<'set-route', { readonly route: DesiredRoute }>
  | On<'delete-route', { readonly to: Network }>
  | On<'set-neighbour', { readonly address: Network; readonly mac: string }>
  | On<'delete-neighbour', { readonly address: Network }>
  /** `owner`: the vif that the entry is of, undefined for one of none. One that is another's by then stays. */
  | On<'delete-proxy', { readonly address: Network; readonly owner: string | undefined }>
  /** Answers for an address at a device, for a vif which then owns the entry. */
  | On<'set-proxy', { readonly address: Network; readonly owner: string }>
  /**
   * Tells a device's network that an address is to be found here: by gratuitous ARP or an unsolicited neighbour advertisement,
   * with the device's MAC address. `carrier` is the device's by `Link.carrierSince`.
   */
  | On<'announce', { readonly address: Network; readonly mac: string; readonly carrier: number }>
  | { readonly kind: 'set-sysctl'; readonly sysctl: Sysctl }
  /**
   * Ends what the kernel remembers of connections of these addresses; `untranslated`: of those alone that NAT lets pass; `port`: of
   * those alone that began with a packet to it, but for those that lead to the guest.
   */
  | {
      readonly kind: 'forget-connections';
      readonly network: Network;
      readonly untranslated?: boolean;
      readonly port?: ServedPort & { readonly guest?: { readonly address: string; readonly port: number } };
    }
  | { readonly kind: 'set-dhcp'; readonly vif: string; readonly entry: string }
  | { readonly kind: 'delete-dhcp'; readonly vif: string };

/** An action on a device, one for each kind. */
type On<Kind, Detail> = Kind extends string
  ? Detail & { readonly kind: Kind; readonly index: number; readonly name: string }
  : never;

export type ActionKind = Action['kind'];

/** The actions of these kinds. */
export type ActionOf<Kind extends ActionKind> = Extract<Action, { readonly kind: Kind }>;

/** A function for each kind of action; for some, where they are named. The compiler finds one that is missing. */
export type ActionTable<Result, Kind extends ActionKind = ActionKind> = {
  readonly [Each in Kind]: (action: ActionOf<Each>) => Result;
};

/** What the table's function for an action's kind makes of it. */
export function byKind<Result>(table: ActionTable<Result>, action: Action): Result {
  // That the function is for this very kind is beyond the compiler.
  return (table[action.kind] as (action: Action) => Result)(action);
}
