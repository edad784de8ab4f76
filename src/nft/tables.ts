/** `vif5.0_12`: its vif and index; undefined for a chain of somebody else's in our table. */
export function parseChainName(chain: string): { vif: string; index: number } | undefined {
  const match = /^(vif\d+\.\d+)_(\d+)$/.exec(chain);
  return match ? { vif: match[1] as string, index: Number(match[2]) } : undefined;
}
