import type { Network } from './address.js';
import type { PortFlags } from './bridge-port.js';
import type { LimitOptions } from './limits.js';
import type { Offload } from './observed.js';
import type { TopologyName } from './topology-name.js';

/** One `[[vif]]` table of the configuration: settings for the vifs it matches. */
export interface VifOptions extends PortFlags {
  /** The name of the bridge they are on; undefined matches all. */
  readonly bridge: string | undefined;
  /** The guest's MAC address; undefined matches all. */
  readonly mac: string | undefined;
  /** A network that one of its addresses is in. */
  readonly ip?: Network;
  readonly domid?: number;
  readonly topology?: TopologyName;
  /** What the vif is held to, instead of what `[antispoof] mode` says. */
  readonly antispoof?: 'off' | 'mac' | 'addresses';
  /** Networks whose addresses the guest may use, besides those of its `ip` key. */
  readonly allow?: readonly Network[];
  /** MAC addresses that it may use, besides its own. */
  readonly allowMacs?: readonly string[];
  /** Whether it may send the frames by which switches speak. */
  readonly controlFrames?: boolean;
  /** How much may pass, in either direction. */
  readonly limit?: LimitOptions;
  /** Whether it reaches private networks. */
  readonly lan?: boolean;
  /** Where a vif behind NAT leaves. */
  readonly uplink?: readonly string[];
  readonly txqueuelen?: number;
  /** The group of its netdev, by which an administrator's rules match it. */
  readonly group?: number;
  /** Sets of nf_tables that are the administrator's, each by family, table and name. */
  readonly sets?: readonly string[];
  readonly offload?: Offload;
}
