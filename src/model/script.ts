import type { VifSnapshot } from './snapshot.js';

/** The keys that a script reads in xenstore. */
export type ScriptKeys = Pick<VifSnapshot, 'bridge' | 'mac' | 'ip' | 'vifname' | 'mtu' | 'vlans'>;

/** An operator's own script that should be in force for a vif. */
export interface DesiredScript {
  /** As dom0 wrote it, absolute. */
  readonly file: string;
  /** The index of the netdev: a new one needs the script anew. */
  readonly ifindex: number;
  /** The script's `netdev`, empty for none. */
  readonly gatewaydev: string;
  /** A run that failed is tried again when one of these changes. */
  readonly keys: ScriptKeys;
}

/** A script that was run for a vif and has not been undone. */
export interface ScriptRun extends DesiredScript {
  readonly state: 'running' | 'online' | 'failed' | 'interrupted';
  /** How it failed, in words. */
  readonly reason?: string;
}
