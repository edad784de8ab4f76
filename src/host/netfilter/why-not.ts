import { Nftables } from 'node-libnftables';

/** Why the kernel refuses a table with a chain at a device's ingress; undefined when it takes one. Nothing is created. */
export function whyNotNft(): string | undefined {
  const chain = 'add chain netdev vifd-check ingress { type filter hook ingress device "lo" priority 0; }';
  try {
    const nft = new Nftables();
    nft.check(`add table netdev vifd-check\n${chain}`);
    nft.close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
