import type { IpAction } from '../model/action.js';
import type { Network } from '../model/address.js';
import type { LinkView, ObservedState } from '../model/observed.js';
import type { DesiredIp, IpState, ProxyEntry } from '../model/routing.js';
import { type VifId, vifName } from '../model/vif-id.js';

/** The proxy entries a vif wants, and those of its own that it does not: an entry is deleted by its owner alone. */
export function proxies(id: VifId, want: DesiredIp, { links }: ObservedState, ip: IpState): IpAction[] {
  if (want.proxies === undefined) return [];
  const owner = vifName(id);
  const { device, name, hosts } = want.proxies;
  const own = ip.routes.proxies().filter((proxy) => proxy.owner === owner);
  const isOn = (proxy: ProxyEntry, address: Network): boolean =>
    proxy.device === device && proxy.address.address === address.address;
  return [
    ...hosts
      .filter((address) => !own.some((proxy) => isOn(proxy, address)))
      .map((address): IpAction => ({ kind: 'set-proxy', index: device, name, address, owner })),
    ...own
      .filter((proxy) => !hosts.some((address) => isOn(proxy, address)))
      .map((proxy) => deleteProxy(proxy, links)),
  ];
}

export const deleteProxy = ({ device: index, address }: ProxyEntry, links: LinkView): IpAction => ({
  kind: 'delete-proxy',
  index,
  name: links.byIndex(index)?.name ?? `${index}`,
  address,
});
