import type { IpAction } from '../model/action.js';
import { formatNetwork, type Network } from '../model/address.js';
import { type Link, type ObservedState, vifOfLink } from '../model/observed.js';
import { type DesiredIp, type IpState, noIp } from '../model/routing.js';
import { type VifId, vifName } from '../model/vif-id.js';
import { neighbours } from './neighbour.js';
import { deleteProxy, proxies } from './proxy.js';
import { sysctls } from './sysctl.js';

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
 * What a vif that is not to be on the network leaves behind when its link is down or gone. Routes and neighbour entries are not
 * among it: the kernel takes them with the link (fib_disable_ip, neigh_ifdown).
 */
export function clearIp(id: VifId, observed: ObservedState): IpAction[] {
  const ip = observed.ip ?? noIp;
  return [
    ...proxies(id, nothing, observed, ip),
    ...accounts(id, nothing, ip),
    ...leftAccounts(id, nothing, ip),
  ];
}

/**
 * What must be in place before the link goes up: that nothing leaves under a guest's own address, and nothing is
 * believed that a guest says of the network.
 */
export function planBeforeLink(id: VifId, want: DesiredIp | undefined, observed: ObservedState): IpAction[] {
  const ip = observed.ip ?? noIp;
  return want === undefined ? [] : [...sysctls(want, ip), ...accounts(id, want, ip)];
}

/**
 * What an attached vif needs besides its link.
 * @param name the device's name by then
 * @param flushed whether the link has been down by then, which empties the kernel's tables
 */
export function planAfterLink(
  id: VifId,
  link: Link,
  name: string,
  { link: { addresses }, ip: want = nothing }: { link: { addresses: readonly Network[] }; ip?: DesiredIp },
  observed: ObservedState,
  flushed: boolean,
): IpAction[] {
  const ip = observed.ip ?? noIp;
  const on = { index: link.index, name };
  const held = new Set(
    link.addresses.filter(({ family }) => family === 4 || !flushed).map((address) => formatNetwork(address)),
  );
  const known = flushed ? new Map<string, string>() : ip.routes.neighbours(link.index);
  const missing = want.routes.filter(({ to, source }) => {
    const found = flushed ? undefined : ip.routes.to(to);
    return found?.device !== link.index || found.source !== source;
  });
  return [
    ...addresses
      .filter((address) => !held.has(formatNetwork(address)))
      .map((address): IpAction => ({ kind: 'add-address', ...on, address })),
    ...missing.map((route): IpAction => ({ kind: 'set-route', ...on, route })),
    ...neighbours(want, known).map(
      ([address, mac]): IpAction => ({
        kind: 'set-neighbour',
        ...on,
        address,
        mac,
      }),
    ),
    ...missing
      // A route that was lost comes back to where its neighbour entry still is; else the address is new here.
      .filter(({ to }) => !known.has(to.address) && ip.routes.to(to)?.device !== link.index)
      .map(({ to }): IpAction => ({ kind: 'forget-connections', network: to })),
    ...strays(link, want, ip),
    ...proxies(id, want, observed, ip),
    ...leftAccounts(id, want, ip),
  ];
}

/** Routes and neighbour entries of ours on the device that are not wanted there. */
function strays(link: Link, want: DesiredIp, { routes }: IpState): IpAction[] {
  const on = { index: link.index, name: link.name };
  const wanted = new Set(want.routes.map(({ to }) => formatNetwork(to)));
  const hosts = new Set(want.mac === undefined ? [] : want.neighbours.map(({ address }) => address));
  return [
    ...routes
      .onDevice(link.index)
      .filter(({ to }) => !wanted.has(formatNetwork(to)))
      .map(({ to }): IpAction => ({ kind: 'delete-route', ...on, to })),
    ...[...routes.neighbours(link.index).keys()]
      .filter((address) => !hosts.has(address))
      .map((address): IpAction => ({ kind: 'delete-neighbour', ...on, address: networkOfHost(address) })),
  ];
}

const networkOfHost = (address: string): Network =>
  address.includes(':') ? { family: 6, address, prefix: 128 } : { family: 4, address, prefix: 32 };

/**
 * Removes what bears our protocol number and belongs to no vif: proxy entries without an owner, and routes to a device
 * that is no vif's.
 */
export function planOrphans({ links, ip = noIp }: ObservedState): IpAction[] {
  const ownerless = ip.routes.ours().filter(({ device }) => {
    const link = links.byIndex(device);
    return link !== undefined && vifOfLink(link) === undefined;
  });
  return [
    ...ownerless.map(
      ({ to, device }): IpAction => ({
        kind: 'delete-route',
        index: device,
        name: links.byIndex(device)?.name ?? `${device}`,
        to,
      }),
    ),
    ...ip.routes
      .proxies()
      .filter(({ owner }) => owner === undefined)
      .map((proxy) => deleteProxy(proxy, links)),
  ];
}

/** What is kept under the vif's name: what dnsmasq knows. */
function accounts(id: VifId, want: DesiredIp, ip: IpState): IpAction[] {
  const owner = vifName(id);
  return want.dhcp === undefined || ip.dhcp.get(owner) === want.dhcp
    ? []
    : [{ kind: 'set-dhcp', vif: owner, entry: want.dhcp }];
}

function leftAccounts(id: VifId, want: DesiredIp, ip: IpState): IpAction[] {
  const owner = vifName(id);
  return want.dhcp === undefined && ip.dhcp.has(owner) ? [{ kind: 'delete-dhcp', vif: owner }] : [];
}
