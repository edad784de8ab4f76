import type { IpAction } from '../model/action.js';
import type { Network } from '../model/address.js';
import { type DesiredIp, noIp } from '../model/ip.js';
import type { Link, ObservedState } from '../model/observed.js';
import type { VifId } from '../model/vif-id.js';
import { missingAddresses } from './address.js';
import { strangeConnections, unmasqueraded } from './conntrack.js';
import { missingDhcp, strayDhcp } from './dhcp.js';
import { missingNeighbours, strayNeighbours } from './neighbour.js';
import { planProxies } from './proxy.js';
import { missingRoutes, strayRoutes } from './route.js';
import { planSysctls } from './sysctl.js';

// The order of what a routed or NAT vif has besides its link; each kind of object has a file of its own.

const nothing: DesiredIp = {
  routes: [],
  neighbours: [],
  mac: undefined,
  proxies: { device: 0, name: '', hosts: [] },
  sysctls: [],
  masquerades: [],
  dhcp: undefined,
};

/**
 * Deletes what a vif that is not to be on the network leaves behind when its link is down or gone. Routes and neighbour
 * entries are not among it: the kernel takes them with the link (fib_disable_ip, neigh_ifdown).
 */
export function clearIp(id: VifId, observed: ObservedState): IpAction[] {
  const ip = observed.ip ?? noIp;
  return [...planProxies(id, nothing, observed, ip), ...strayDhcp(id, nothing, ip)];
}

/**
 * What must be in place before the link goes up: its sysctls, such as those that ignore redirects from the guest, and its
 * entry for DHCP.
 */
export function planBeforeLink(id: VifId, want: DesiredIp | undefined, observed: ObservedState): IpAction[] {
  const ip = observed.ip ?? noIp;
  return want === undefined ? [] : [...planSysctls(want, observed), ...missingDhcp(id, want, ip)];
}

/**
 * What an attached vif needs besides its link.
 * @param name the device's name by then
 * @param flushed whether the link has been down by then, which empties the kernel's tables
 * @param asksAnew whether ARP has been switched on by then, which empties its neighbours
 */
export function planAfterLink(
  id: VifId,
  link: Link,
  name: string,
  { link: { addresses }, ip: want = nothing }: { link: { addresses: readonly Network[] }; ip?: DesiredIp },
  observed: ObservedState,
  flushed: boolean,
  asksAnew: boolean,
): IpAction[] {
  const ip = observed.ip ?? noIp;
  const { index } = link;
  const known = flushed ? new Map<string, string>() : ip.routes.neighbours(index);
  const missing = missingRoutes(link, want, ip, flushed);
  const forgotten = strangeConnections(id, link, missing, known, want, observed);
  return [
    ...missingAddresses(link, name, addresses, flushed),
    ...missing.map((route): IpAction => ({ kind: 'set-route', index, name, route })),
    ...missingNeighbours(link, name, want, asksAnew ? new Map() : known),
    ...forgotten,
    ...unmasqueraded(id, want, observed).filter(
      ({ network }) => !forgotten.some((one) => one.network.address === network.address),
    ),
    // The kernel has deleted them with the link.
    ...(flushed ? [] : [...strayRoutes(link, name, want, ip), ...strayNeighbours(link, name, want, ip)]),
    ...planProxies(id, want, observed, ip),
    ...strayDhcp(id, want, ip),
  ];
}
