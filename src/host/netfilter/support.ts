import { Nftables } from 'node-libnftables';

/** What nf_tables can do here, each as the reason why not; undefined where it can. */
export interface NftSupport {
  /** A chain at a netdev's ingress, without which nothing is filtered. */
  readonly whyNotFilter: string | undefined;
  /** A table that belongs to one process and outlives it (`flags owner, persist`). */
  readonly whyNotOwner: string | undefined;
  /** The counting of connections. */
  readonly whyNotCount: string | undefined;
}

const chainAtIngress =
  'add table netdev vifd-check; add chain netdev vifd-check ingress { type filter hook ingress device "lo" priority 0; }';
const connectionCount =
  'table inet vifd-check { set s { type ifname; size 1; flags dynamic; }; chain c { add @s { iifname ct count over 1 }; }; }';
const tableWithOwner = 'add table netdev vifd-check { flags owner, persist; }';

/** Finds by dry runs, in a thread of libuv's pool, what nf_tables can do. Nothing is created. */
export async function readSupport(): Promise<NftSupport> {
  let library: Nftables;
  try {
    library = new Nftables();
  } catch (error) {
    return { whyNotFilter: reasonOf(error), whyNotOwner: reasonOf(error), whyNotCount: undefined };
  }
  try {
    return {
      whyNotFilter: await library.checkAside(chainAtIngress).then(none, reasonOf),
      whyNotOwner: await library.checkAside(tableWithOwner).then(none, reasonOf),
      whyNotCount: await library.checkAside(connectionCount).then(none, reasonOf),
    };
  } finally {
    library.close();
  }
}

const none = (): undefined => undefined;
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
