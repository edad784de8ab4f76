import type { Action } from '../model/action.js';
import type { Link, ObservedState, Offload } from '../model/observed.js';

/** Sets the offloads that this daemon has not set yet. Netlink does not report them, so those in the kernel are not compared. */
export function planOffload(
  { index }: Link,
  name: string,
  want: Offload | undefined,
  { offloads }: ObservedState,
): Action[] {
  const made = offloads?.get(index);
  const missing = Object.entries(want ?? {}).filter(([feature, on]) => made?.[feature] !== on);
  return missing.length === 0
    ? []
    : [{ kind: 'set-offload', index, name, offload: Object.fromEntries(missing) }];
}
