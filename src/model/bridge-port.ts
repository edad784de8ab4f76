import type { PortVlan } from './vlan.js';

/** The switches of a bridge port that can be configured; an absent one is left as it is. */
export interface PortFlags {
  /** Frames go between this port and those not isolated only (IFLA_BRPORT_ISOLATED). */
  readonly isolated?: boolean;
  /** Multicast without a known listener leaves here too (IFLA_BRPORT_MCAST_FLOOD). */
  readonly multicastFlood?: boolean;
  /** Broadcast leaves here (IFLA_BRPORT_BCAST_FLOOD). */
  readonly broadcastFlood?: boolean;
}

/** A bridge port as AF_BRIDGE messages tell of it; the VLANs are in ascending order. */
export interface BridgePort extends Required<PortFlags> {
  /** What the spanning tree lets it do, where that is not to forward. */
  readonly waiting?: 'listening' | 'learning' | 'blocking';
  readonly vlans: readonly PortVlan[];
}

/** How a bridge port should be. */
export interface DesiredPort extends PortFlags {
  /** Exactly these VLANs; absent leaves them alone. */
  readonly vlans?: readonly PortVlan[];
}
