import type { DesiredState } from '../model/desired.js';
import { type FilterSpec, holds } from '../model/filter.js';

// The floor: the filter of a vif that is held to nothing, which only keeps control frames back. Where nf_tables takes none the vif
// is attached without it; any other filter is a condition.

/** Whether a vif may be on the network only with this filter, or with what blocks it. */
export const isNeeded = (filter: FilterSpec | undefined, blocked = false): boolean =>
  blocked || holds(filter);

/** Whether all that nf_tables has for a vif is the floor. */
export const hasFloorAlone = ({ filter, blocked, ip }: DesiredState): boolean =>
  ip === undefined && !isNeeded(filter, blocked);
