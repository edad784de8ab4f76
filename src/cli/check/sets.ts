import { setsNamed } from '../../decide/named-sets.js';
import type { ObservedState } from '../../model/observed.js';
import type { VifPolicy } from '../../model/policy.js';
import { type Finding, ok, warning } from './finding.js';

/** The administrator's sets that the configuration names and that no vif can be put into. */
export function aboutSets(
  { namedSets }: Pick<ObservedState, 'namedSets'>,
  tables: Pick<VifPolicy, 'vifs' | 'groups'>,
): Finding[] {
  const names = setsNamed(tables);
  if (names.length === 0 || namedSets === undefined) return [];
  const unfit = names.flatMap((name) => {
    const set = namedSets.get(name);
    return 'reason' in set ? [`${name}: ${set.reason}`] : [];
  });
  const remedy =
    'vifd puts the vifs into it within a second of its coming, and attaches them without until then';
  return unfit.length === 0
    ? [ok('sets', names.join(', '))]
    : unfit.map((message) => warning('sets', message, remedy));
}
