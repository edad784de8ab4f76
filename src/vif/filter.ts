import { type Network, parseIpv4, parseIpv6 } from './address.js';
import { vifName } from './id.js';
import type { VifPolicy } from './policy.js';
import { type OperationError, problem } from './problem.js';
import type { VifSnapshot } from './snapshot.js';

/**
 * What a vif may send. `undefined` in its place means anything at all.
 *
 * `decide()` gives every attachment the filter of its keys, so a topology has nothing to do. One that knows more (the
 * address of a NAT guest, that the vif is routed) calls {@link filterFor} with what it knows and puts the outcome into
 * its `desired.filter`. One whose datapath passes nft by must refuse when the outcome is not undefined.
 */
export interface FilterSpec {
  readonly mac: string;
  /** The addresses it may speak from; those with a shorter prefix are networks. Never empty. */
  readonly networks: readonly Network[];
  /** It may send VLAN-tagged frames; what is inside is held to the same rules. */
  readonly tagged: boolean;
  /** For a routed vif: packets from its addresses (by the routes to them) are taken from this vif and no other. */
  readonly reverse: boolean;
  /**
   * For a vif whose guest has the driver domain as its router: the guest reaches nothing on the driver domain itself
   * but echo, neighbour discovery, answers to what the driver domain began, and the services named here.
   */
  readonly protectHost: HostServices | undefined;
}

/** What the driver domain serves its guests on the usual ports. */
export interface HostServices {
  readonly dhcp: boolean;
  readonly dns: boolean;
}

/** What a topology knows of a vif beyond its keys. */
export interface FilterOptions {
  /** Instead of the `ip` key: the addresses which the topology itself chose. */
  readonly networks?: readonly Network[];
  readonly tagged?: boolean;
  readonly reverse?: boolean;
  readonly protectHost?: HostServices;
}

/**
 * The filter a vif gets: with mode `auto` when there are addresses to hold it to, with `strict` always, with `off` never.
 * @returns the filter, undefined for none, or why it cannot be had
 */
export function filterFor(
  snapshot: VifSnapshot,
  config: Pick<VifPolicy, 'antispoof'>,
  options: FilterOptions = {},
): { readonly filter: FilterSpec | undefined } | { readonly problem: OperationError } {
  const { mode } = config.antispoof;
  const networks = options.networks ?? snapshot.ip;
  if (mode === 'off' || (mode === 'auto' && networks.length === 0)) return { filter: undefined };
  const operation = `hold ${vifName(snapshot.id)} to`;
  if (networks.length === 0) {
    const reason = 'the ip key is empty, and [antispoof] mode = "strict" takes no vif without; give it ip=…';
    return { problem: problem('addresses-missing', operation, 'its addresses', reason) };
  }
  if (snapshot.mac === undefined) {
    return { problem: problem('key-missing', operation, 'its MAC address', 'the mac key is missing') };
  }
  return {
    filter: {
      mac: snapshot.mac,
      networks,
      tagged: options.tagged ?? false,
      reverse: options.reverse ?? false,
      protectHost: options.protectHost,
    },
  };
}

/** The addresses from `first` to `last`, as numbers. */
export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** The networks of one family as ranges in order, without those that lie within another. */
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

/** The link-local address an interface makes of its MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): Network {
  const o = mac.split(':').map((octet) => Number.parseInt(octet, 16));
  const hex = [(o[0] ?? 0) ^ 2, o[1], o[2], 0xff, 0xfe, o[3], o[4], o[5]].map((octet) =>
    (octet ?? 0).toString(16).padStart(2, '0'),
  );
  const groups = [0, 2, 4, 6].map((i) => `${hex[i]}${hex[i + 1]}`);
  return { family: 6, address: `fe80::${groups.join(':')}`, prefix: 128 };
}
