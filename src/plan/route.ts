import type { ActionOf } from '../model/action.js';
import { formatNetwork } from '../model/address.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import type { Link } from '../model/observed.js';
import type { DesiredRoute } from '../model/route.js';

/**
 * The routes that a device lacks.
 * @param flushed whether the link has been down by then: the kernel deletes the routes of what is down
 */
export const missingRoutes = (
  { index }: Link,
  want: DesiredIp,
  { routes }: IpState,
  flushed: boolean,
): DesiredRoute[] =>
  want.routes.filter(({ to, source }) => {
    const found = flushed ? undefined : routes.to(to);
    return found?.device !== index || found.source !== source;
  });

/**
 * Deletes our routes to a device that are not wanted.
 * @param name the device's name by then
 */
export function strayRoutes(
  { index }: Link,
  name: string,
  want: DesiredIp,
  { routes }: IpState,
): ActionOf<'delete-route'>[] {
  const wanted = new Set(want.routes.map(({ to }) => formatNetwork(to)));
  return routes
    .onDevice(index)
    .filter(({ to }) => !wanted.has(formatNetwork(to)))
    .map(({ to }) => ({ kind: 'delete-route', index, name, to }));
}
