/**
 * The vif and the netdev's index in a chain's name, such as `vif5.0_12`, or `vif5.0_12_out` for what leaves by the netdev; undefined for a
 * chain that is not a vif's.
 */
export function parseChainName(chain: string): { vif: string; index: number } | undefined {
  const match = /^(vif\d+\.\d+)_(\d+)(?:_out)?$/.exec(chain);
  return match ? { vif: match[1] as string, index: Number(match[2]) } : undefined;
}
