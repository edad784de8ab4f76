import { type Dependency, netdev } from '../model/dependency.js';
import { type DesiredSets, isCovered, isNftName, memberValues } from '../model/named-set.js';
import type { ObservedState } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import { tableOf } from './groups.js';
import { type Matched, optionsOf } from './vif-options.js';

/** The tables that name sets. */
type Tables = Pick<VifPolicy, 'vifs' | 'groups'>;

/** The administrator's sets that the configuration names. */
export const setsNamed = ({ vifs, groups }: Tables): string[] => [
  ...new Set([...vifs, ...groups].flatMap(({ sets }) => sets ?? [])),
];

/** What a vif is to be in the administrator's sets: in those of its group, and of the last `[[vif]]` table that names any. */
export function desiredSets(vif: Matched, { vifs, groups }: Tables): DesiredSets | undefined {
  const names = [...(tableOf(groups, vif)?.sets ?? []), ...(optionsOf(vif, vifs).sets ?? [])];
  return names.length === 0
    ? undefined
    : { names: [...new Set(names)], mac: vif.mac, addresses: vif.addresses };
}

/** The administrator's sets that a vif cannot be put into, and why: it works without. */
export function unusableSets(
  vif: string,
  device: string,
  desired: DesiredSets | undefined,
  { namedSets }: Pick<ObservedState, 'namedSets'>,
): OperationError[] {
  if (desired === undefined) return [];
  return desired.names.flatMap((name) => {
    const set = namedSets?.get(name) ?? { reason: 'no such set' };
    const reason = 'reason' in set ? set.reason : whyNotIn(set, desired, device);
    return reason === undefined ? [] : [problem('set-unusable', `put ${vif} into set`, name, reason)];
  });
}

/** News of the vifs by whose elements a vif is in a set: with such a vif the element goes, and is to be made for this one. */
export function setHolders(
  vif: string,
  device: string,
  desired: DesiredSets | undefined,
  { namedSets }: Pick<ObservedState, 'namedSets'>,
): Dependency[] {
  if (desired === undefined) return [];
  const owners = desired.names.flatMap((name) => {
    const set = namedSets?.get(name);
    if (set === undefined || 'reason' in set) return [];
    const values = memberValues(set, desired, device);
    return set.elements.flatMap((element) =>
      element.owner !== undefined && values.some((value) => isCovered(value, [element])) ? element.owner : [],
    );
  });
  return [...new Set(owners)].filter((owner) => owner !== vif).map(netdev);
}

/** Why nothing of a vif can be an element of a set of this type; undefined where something can. */
function whyNotIn(
  set: Parameters<typeof memberValues>[0],
  desired: DesiredSets,
  device: string,
): string | undefined {
  const { type, intervals } = set;
  if (memberValues(set, desired, device).length > 0) return undefined;
  if (type === 'ifname' && !isNftName(device))
    return 'nft takes a name of letters, digits, ".", "-" and "_" only; choose another vifname';
  if (type === 'ether_addr') return 'the vif has no mac key';
  if (type === 'ifname' || desired.addresses.length === 0)
    return 'the vif has no address that is known; give it ip=…, or use a set of type ifname';
  // One of the other family has a set of its own.
  const family = type === 'ipv4_addr' ? 4 : 6;
  const hasNetwork = desired.addresses.some((one) => one.family === family);
  return hasNetwork && !intervals ? 'the set takes no networks; make it with flags interval' : undefined;
}
