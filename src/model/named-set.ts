import { addressValue, contains, type Network, parseNetwork } from './address.js';

/** What the elements of a set are, in nft's words, of those that a vif can be. */
export const memberTypes = ['ifname', 'ether_addr', 'ipv4_addr', 'ipv6_addr'] as const;

export type MemberType = (typeof memberTypes)[number];

/** A set of nf_tables that is an administrator's, as far as vifs can be elements of it. */
export interface NamedSet {
  readonly type: MemberType;
  /** Whether an element may be a network. */
  readonly intervals: boolean;
  readonly elements: readonly SetElement[];
}

/** An element as nft prints it: a value, a network, `first-last`, or the beginning of a name and `*`. */
export interface SetElement {
  readonly value: string;
  /** The vif that vifd has added it for; absent where vifd has not. */
  readonly owner?: string;
}

/** An element in one of an administrator's sets, which `set` names by family, table and name. */
export interface Membership {
  readonly set: string;
  readonly value: string;
}

/** The administrator's sets that the configuration names. */
export interface NamedSets {
  /** The set, or why no vif can be put into it. */
  get(set: string): NamedSet | { readonly reason: string };
  /** The elements that vifd has added for a vif, also to sets that the configuration names no longer. */
  members(vif: string): readonly Membership[];
}

/** What a vif is to be in the administrator's sets. */
export interface DesiredSets {
  readonly names: readonly string[];
  readonly mac: string | undefined;
  readonly addresses: readonly Network[];
}

/** The comment of an element that vifd has added for a vif. */
export const memberComment = (vif: string): string => `vifd ${vif}`;

/** The values by which a vif is in a set of this type, where its netdev has this name; networks only where the set takes them. */
export function memberValues(
  { type, intervals }: Pick<NamedSet, 'type' | 'intervals'>,
  { mac, addresses }: Pick<DesiredSets, 'mac' | 'addresses'>,
  device: string,
): string[] {
  if (type === 'ifname') return isNftName(device) ? [device] : [];
  if (type === 'ether_addr') return mac === undefined ? [] : [mac];
  const family = type === 'ipv4_addr' ? 4 : 6;
  const longest = family === 4 ? 32 : 128;
  const values = addresses
    .filter((one) => one.family === family && (intervals || one.prefix === longest))
    .map(({ address, prefix }) => (prefix === longest ? address : `${address}/${prefix}`));
  return [...new Set(values)];
}

/** A name of a netdev that nft takes in quotes. */
export const isNftName = (device: string): boolean => /^[\w.-]+$/.test(device);

/** Whether a value is in a set by one of its elements. */
export const isCovered = (value: string, elements: readonly SetElement[]): boolean =>
  elements.some((element) => covers(element.value, value));

function covers(element: string, value: string): boolean {
  if (element === value) return true;
  if (element.endsWith('*')) return value.startsWith(element.slice(0, -1));
  const network = parseNetwork(value);
  if (network === undefined) return false;
  const outer = parseNetwork(element);
  if (outer !== undefined) return contains(outer, network);
  const [first, last] = element.split('-').map(parseNetwork);
  if (first?.family !== network.family || last?.family !== network.family) return false;
  const bits = BigInt((network.family === 4 ? 32 : 128) - network.prefix);
  const least = addressValue(network);
  return addressValue(first) <= least && least + (1n << bits) - 1n <= addressValue(last);
}
