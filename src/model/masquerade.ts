import type { Element } from './nft.js';

/** What masquerades an address: the vif that it belongs to, by name, and the devices through which it leaves. */
export interface Masquerade {
  readonly owner: string;
  readonly uplinks: readonly string[];
}

/** The address and device of an element that masquerades, of this release or an earlier one; undefined for any other. */
export function masqueraded({ set, key }: Element): { address: string; uplink: string } | undefined {
  const [address, uplink] = key;
  return /^(masqueraded|guests)[46]$/.test(set) && address !== undefined && uplink !== undefined
    ? { address, uplink }
    : undefined;
}
