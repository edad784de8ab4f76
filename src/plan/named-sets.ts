import type { Action } from '../model/action.js';
import { type DesiredSets, isCovered, memberValues } from '../model/named-set.js';
import type { ObservedState } from '../model/observed.js';
import { type VifId, vifName } from '../model/vif-id.js';

/**
 * What puts a vif into the administrator's sets, and takes it out of those that it is not to be in. An element that is there without
 * vifd stays, and does for the vif's.
 * @param device the name that its netdev is to have; undefined where it is to be in none
 */
export function planNamedSets(
  id: VifId,
  desired: DesiredSets | undefined,
  device: string | undefined,
  { namedSets }: Pick<ObservedState, 'namedSets'>,
): { join: Action[]; leave: Action[] } {
  if (namedSets === undefined) return { join: [], leave: [] };
  const vif = vifName(id);
  const join: Action[] = [];
  const wanted = new Set<string>();
  for (const name of device === undefined ? [] : (desired?.names ?? [])) {
    const set = namedSets.get(name);
    if ('reason' in set || desired === undefined || device === undefined) continue;
    const values = memberValues(set, desired, device);
    for (const value of values) wanted.add(`${name} ${value}`);
    const missing = values.filter((value) => !isCovered(value, set.elements));
    if (missing.length > 0) join.push({ kind: 'add-to-set', vif, set: name, values: missing });
  }
  const stray = new Map<string, string[]>();
  for (const { set, value } of namedSets.members(vif))
    if (!wanted.has(`${set} ${value}`)) stray.set(set, [...(stray.get(set) ?? []), value]);
  const leave = [...stray].map(([set, values]): Action => ({ kind: 'delete-from-set', vif, set, values }));
  return { join, leave };
}
