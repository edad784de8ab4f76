import type { ActionOf } from '../model/action.js';
import type { Network } from '../model/address.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import type { LinkView, ObservedState } from '../model/observed.js';
import type { ProxyEntry } from '../model/proxy.js';
import { type VifId, vifName } from '../model/vif-id.js';

type ProxyAction = ActionOf<'set-proxy' | 'delete-proxy'>;

/** Sets the proxy entries a vif lacks, and deletes those of its own that it does not want: only the owner deletes one. */
export function planProxies(
  id: VifId,
  want: DesiredIp,
  { links }: ObservedState,
  ip: IpState,
): ProxyAction[] {
  if (want.proxies === undefined) return [];
  const owner = vifName(id);
  const { device, name, hosts } = want.proxies;
  const own = ip.routes.proxies().filter((proxy) => proxy.owner === owner);
  const isOn = (proxy: ProxyEntry, address: Network): boolean =>
    proxy.device === device && proxy.address.address === address.address;
  return [
    ...hosts
      .filter((address) => !own.some((proxy) => isOn(proxy, address)))
      .map((address): ProxyAction => ({ kind: 'set-proxy', index: device, name, address, owner })),
    ...own
      .filter((proxy) => !hosts.some((address) => isOn(proxy, address)))
      .map((proxy) => deleteProxy(proxy, links)),
  ];
}

/** Deletes a proxy entry, on whichever device it is. */
export const deleteProxy = (
  { device: index, address }: ProxyEntry,
  links: LinkView,
): ActionOf<'delete-proxy'> => ({
  kind: 'delete-proxy',
  index,
  name: links.byIndex(index)?.name ?? `${index}`,
  address,
});
