import type { Network } from './address.js';
import type { Parting, TopologyName } from './topology-name.js';

/** Whom the guests of a group reach of the other guests: none, those of the group, or all that are in no group which parts them. */
export type Talk = 'none' | 'group' | 'all';

/** One `[[group]]` table of the configuration. */
export interface Group {
  readonly name: string;
  /** What its vifs have: one of these, and of that all. */
  readonly members: readonly GroupMembers[];
  readonly talk: Talk;
  /** Sets of nf_tables that are the administrator's, each by family, table and name. */
  readonly sets?: readonly string[];
}

/** What vifs have to match a group; everything matches where nothing is named. */
export interface GroupMembers {
  readonly bridge?: string | undefined;
  readonly mac?: string | undefined;
  readonly ip?: Network;
  readonly domid?: number;
  readonly topology?: TopologyName;
}

/** The group of a vif, of which every vif has one while any group parts guests. */
export interface VifGroup {
  /** Undefined for a vif in no group. */
  readonly name: string | undefined;
  readonly talk: Talk;
  /** Where it is enforced: in two places where it is not known what an operator's script makes of the vif. */
  readonly by: readonly Parting[];
}

/** What frames of vifs in no group, and in one that does not part them, are marked with. */
export const openNumber = 0;

/** The number of vifs which no other vif reaches; it is no group's. */
const loneNumber = 0xffff;

/**
 * The number of a group in the rules, of 16 bits. It follows from the name alone, so that it means the same for all vifs while a
 * changed configuration is applied to one after the other.
 */
export function groupNumber(name: string): number {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return 1 + (((hash ^ (hash >>> 16)) & 0xffff) % (loneNumber - 1));
}

/** The number that a vif's frames have, in a group or none. */
export const numberOf = ({ name, talk }: VifGroup): number =>
  talk === 'all' || name === undefined ? openNumber : talk === 'none' ? loneNumber : groupNumber(name);

/** Whether it is kept from guests that others reach. */
export const isParted = ({ talk }: Pick<VifGroup, 'talk'>): boolean => talk !== 'all';

/** Whom the vif does not reach, for people; undefined where that is only those who are kept from all. */
export const keptFromBy = ({ name, talk }: VifGroup): string | undefined =>
  talk === 'all' ? undefined : talk === 'none' ? 'all other guests' : `guests outside of group ${name}`;
