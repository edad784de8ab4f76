import type { PortVlan } from './vlan.js';

/** The MTU that a bridge has for a moment while its own is set by hand: the kernel takes a change only (dev_set_mtu). */
export const passingMtu = (mtu: number): number => (mtu < 65535 ? mtu + 1 : mtu - 1);

/** The switches of a bridge port that can be configured; an absent one is left as it is. */
export interface PortFlags {
  /** Frames go between this port and those not isolated only (IFLA_BRPORT_ISOLATED). */
  readonly isolated?: boolean;
  /** Multicast without a known listener leaves here too (IFLA_BRPORT_MCAST_FLOOD). */
  readonly multicastFlood?: boolean;
  /** Broadcast leaves here (IFLA_BRPORT_BCAST_FLOOD). */
  readonly broadcastFlood?: boolean;
  /** The bridge learns the addresses that frames come from here (IFLA_BRPORT_LEARNING). */
  readonly learning?: boolean;
  /** Unicast to an address that the bridge does not know leaves here too (IFLA_BRPORT_UNICAST_FLOOD). */
  readonly unicastFlood?: boolean;
  /** The port is disabled when a BPDU comes in, where the bridge has a spanning tree (IFLA_BRPORT_GUARD). */
  readonly bpduGuard?: boolean;
  /** The port never becomes the way to the root of the spanning tree (IFLA_BRPORT_PROTECT). */
  readonly rootBlock?: boolean;
  /** A frame may leave by the port it came from (IFLA_BRPORT_MODE). */
  readonly hairpin?: boolean;
  /** A group is left as soon as the guest says so (IFLA_BRPORT_FAST_LEAVE). */
  readonly fastLeave?: boolean;
  /** Multicast that was asked for comes to the guest's own address (IFLA_BRPORT_MCAST_TO_UCAST). */
  readonly multicastToUnicast?: boolean;
  /** The bridge answers ARP and neighbour solicitations for what it knows itself, and floods none here (IFLA_BRPORT_NEIGH_SUPPRESS). */
  readonly neighborSuppress?: boolean;
}

/** The switches whose values are told of each port. */
type ToldFlag = 'isolated' | 'multicastFlood' | 'broadcastFlood';

/** The others, by what each is at a port that has just joined a bridge (new_nbp). */
export const newPortFlags = {
  learning: true,
  unicastFlood: true,
  bpduGuard: false,
  rootBlock: false,
  hairpin: false,
  fastLeave: false,
  multicastToUnicast: false,
  neighborSuppress: false,
} as const satisfies Record<Exclude<keyof PortFlags, ToldFlag>, boolean>;

export type NewPortFlag = keyof typeof newPortFlags;

export const newPortFlagNames = Object.keys(newPortFlags) as NewPortFlag[];

/**
 * The switches that vifd alone sets. `silent` is a port that is sent nothing and at which the bridge learns no address: what a vif's
 * port is while the guest's traffic goes by its twin's.
 */
export interface PortSwitches extends PortFlags {
  readonly silent?: boolean;
}

/**
 * A bridge port as AF_BRIDGE messages tell of it; the VLANs are in ascending order. A switch of {@link newPortFlags} is left out where it is as at
 * a new port, or follows from `silent`.
 */
export interface BridgePort extends Required<Pick<PortFlags, ToldFlag>>, Pick<PortFlags, NewPortFlag> {
  /** Absent for no. */
  readonly silent?: boolean;
  /** What the spanning tree lets it do, or something has set, where that is not to forward; `disabled` only with a carrier. */
  readonly waiting?: 'disabled' | 'listening' | 'learning' | 'blocking';
  /** Frames come in from MAC addresses only that are entered for it (IFLA_BRPORT_LOCKED); absent for no. */
  readonly locked?: boolean;
  readonly vlans: readonly PortVlan[];
}

/** How a bridge port should be. */
export interface DesiredPort extends PortSwitches {
  /** Exactly these VLANs; absent leaves them alone. */
  readonly vlans?: readonly PortVlan[];
}
