import type { ActionOf } from '../model/action.js';
import type { IpState } from '../model/ip.js';
import type { Link } from '../model/observed.js';
import type { DesiredRoute } from '../model/route.js';

/**
 * Ends the connections of addresses that are new on a device, which are those of the guest that had them before.
 * @param missing the routes that the device lacks
 * @param known its neighbour entries: a route that was lost comes back to where its entry still is
 * @param twins the netdevs of the same guest's card, whose connections are the same guest's
 */
export const strangeConnections = (
  { index }: Link,
  missing: readonly DesiredRoute[],
  known: ReadonlyMap<string, string>,
  { routes }: IpState,
  twins: readonly number[] = [],
): ActionOf<'forget-connections'>[] =>
  missing
    .filter(({ to }) => {
      const before = routes.to(to)?.device;
      return !known.has(to.address) && before !== index && !(before !== undefined && twins.includes(before));
    })
    .map(({ to }) => ({ kind: 'forget-connections', network: to }));
