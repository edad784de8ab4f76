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
}

/**
 * The switches that vifd alone sets. `silent` is a port that is sent nothing and at which the bridge learns no address: what a vif's
 * port is while the guest's traffic goes by its twin's.
 */
export interface PortSwitches extends PortFlags {
  readonly silent?: boolean;
}

/** A bridge port as AF_BRIDGE messages tell of it; the VLANs are in ascending order. */
export interface BridgePort extends Required<PortFlags> {
  /** Absent for no. */
  readonly silent?: boolean;
  /** What the spanning tree lets it do, where that is not to forward. */
  readonly waiting?: 'listening' | 'learning' | 'blocking';
  readonly vlans: readonly PortVlan[];
}

/** How a bridge port should be. */
export interface DesiredPort extends PortSwitches {
  /** Exactly these VLANs; absent leaves them alone. */
  readonly vlans?: readonly PortVlan[];
}
