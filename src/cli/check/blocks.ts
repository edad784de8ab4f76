import { blockKey } from '../../model/block.js';
import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import { type Finding, note } from './finding.js';

/** The vifs that are blocked, and the blocks whose guest has gone. */
export function aboutBlocks({ blocks = new Map(), xenstore }: Facts): Finding[] {
  const vifs = 'reason' in xenstore ? [] : xenstore.vifs;
  return [...blocks].map(([key, { vif, since, by }]) => {
    const names = vifs.filter((one) => blockKey(one) === key).map(({ id }) => vifName(id));
    const [name = vif || key.replace(/_\d+$/, '')] = names;
    return note(
      'blocked',
      `${names.length === 0 ? `a guest that has gone (${key}, ${vif || 'unknown'} then)` : names.join(', ')}: no frame passes, since ${since}, by ${by}`,
      `vifd allow ${name}, if the reason is gone`,
    );
  });
}
