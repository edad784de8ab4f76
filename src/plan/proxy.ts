import type { ActionOf } from '../model/action.js';
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
  const owner = vifName(id);
  const link = links.ofVif(id);
  const wanted = [
    ...(want.proxies?.hosts ?? []).map((address) => ({ ...want.proxies, address })),
    ...(want.onLink ?? []).map((address) => ({ device: link?.index, name: link?.name, address })),
  ];
  const isOn = (proxy: ProxyEntry, { device, address }: (typeof wanted)[number]): boolean =>
    proxy.device === device && proxy.address.address === address.address;
  // Without a gateway the entries there are left as they are.
  const own = ip.routes
    .proxies()
    .filter((proxy) => proxy.owner === owner && (want.proxies !== undefined || proxy.device === link?.index));
  return [
    ...wanted
      .filter((one) => !own.some((proxy) => isOn(proxy, one)))
      .map(
        ({ device = 0, name = '', address }): ProxyAction => ({
          kind: 'set-proxy',
          index: device,
          name,
          address,
          owner,
        }),
      ),
    ...own
      .filter((proxy) => !wanted.some((one) => isOn(proxy, one)))
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
