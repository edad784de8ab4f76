import type { Network } from './address.js';

/** An address answered for, at a device, by ARP or neighbour discovery: `ip neighbour add proxy`. */
export interface ProxyEntry {
  readonly address: Network;
  readonly device: number;
  /** The vif it was made for, which alone may delete it; undefined for an entry that is left from before. */
  readonly owner: string | undefined;
  /** Which carrier of the device it was last announced with (`Link.carrierSince`); absent where that was not by this process. */
  readonly announced?: number;
}
