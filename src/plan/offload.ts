import type { Action } from '../model/action.js';
import type { Link, ObservedState, Offload } from '../model/observed.js';

/** Sets the offloads that are not known to be as desired. Netlink does not report them with a link: they are known from before. */
export function planOffload(
  { index }: Link,
  name: string,
  want: Offload | undefined,
  { offloads }: ObservedState,
): Action[] {
  const known = offloads?.get(index);
  const missing = Object.entries(want ?? {}).filter(([feature, on]) => known?.[feature] !== on);
  return missing.length === 0
    ? []
    : [{ kind: 'set-offload', index, name, offload: Object.fromEntries(missing) }];
}
