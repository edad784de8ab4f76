import { type Network, parseIpv4, parseIpv6 } from '../model/address.js';

/** The addresses from `first` to `last`, as numbers. */
export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** The networks of one family as ranges, in order, without those that lie within another. */
export function ranges(networks: readonly Network[], family: 4 | 6): Range[] {
  const bits = family === 4 ? 32 : 128;
  const all = networks
    .filter((network) => network.family === family)
    .map(({ address, prefix }): Range => {
      const host = (1n << BigInt(bits - prefix)) - 1n;
      const value = (family === 4 ? parseIpv4(address) : parseIpv6(address)) ?? 0n;
      return { first: value & ~host, last: value | host };
    })
    .sort((a, b) => (a.first === b.first ? (a.last > b.last ? -1 : 1) : a.first < b.first ? -1 : 1));
  // Two CIDR blocks are disjoint, or one contains the other and comes first here.
  return all.filter(
    ({ last }, i) =>
      !all
        .slice(0, i)
        .some((other) => last <= other.last && all[i] !== undefined && other.last >= all[i].first),
  );
}
