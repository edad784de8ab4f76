import { type Group, isParted, type VifGroup } from '../model/group.js';
import { traitsOf } from '../model/topology-name.js';
import { type Matched, matches } from './vif-options.js';

/** The group that a vif is in: of several that it matches the last one, as with `[[vif]]` tables. */
export const tableOf = (groups: readonly Group[], vif: Matched): Group | undefined =>
  groups.findLast(({ members }) => members.some((one) => matches(one, vif)));

/** What parts a vif from others. Undefined where no group of the configuration parts guests, so that nothing is to be told of any vif. */
export function groupOf(groups: readonly Group[], vif: Matched): VifGroup | undefined {
  if (!groups.some(isParted)) return undefined;
  const group = tableOf(groups, vif);
  const traits = traitsOf(vif.topology);
  // What an operator's script makes of a vif is not known. A mark would be seen by what routes it.
  const by = traits === undefined ? (['port', 'router'] as const) : [traits.partedBy];
  return { name: group?.name, talk: group?.talk ?? 'all', by };
}
