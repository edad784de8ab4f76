import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import { type Finding, ok, warning } from './finding.js';

/** What earlier vifs have left on this host. */
export function aboutLeftovers(facts: Facts): Finding[] {
  const found = leftovers(facts);
  if (found.length === 0) return 'reason' in facts.xenstore ? [] : [ok('leftovers', 'none of earlier vifs')];
  return found.map((vif) =>
    warning(
      'leftovers',
      `${vif} has something on this host but no backend in xenstore`,
      'start vifd, which clears it away',
    ),
  );
}

/** Names of the vifs that have state on the host but no backend in xenstore. */
const leftovers = ({ vifsWithState, xenstore }: Pick<Facts, 'vifsWithState' | 'xenstore'>): string[] => {
  if ('reason' in xenstore) return [];
  const known = new Set(xenstore.vifs.map(({ id }) => vifName(id)));
  return [...new Set(vifsWithState.map(vifName))].filter((name) => !known.has(name));
};
