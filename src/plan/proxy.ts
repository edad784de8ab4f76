import type { ActionOf } from '../model/action.js';
import type { Network } from '../model/address.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import type { LinkView, ObservedState } from '../model/observed.js';
import type { ProxyEntry } from '../model/proxy.js';
import { type VifId, vifName } from '../model/vif-id.js';

type ProxyAction = ActionOf<'set-proxy' | 'delete-proxy' | 'announce'>;

/**
 * Sets the proxy entries a vif lacks, announces what is answered for anew at the gateway device, and deletes those of its own
 * that it does not want: only the owner deletes one.
 */
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
    ...announcements(want, own, links),
    ...own
      .filter((proxy) => !wanted.some((one) => isOn(proxy, one)))
      .map((proxy) => deleteProxy(proxy, links)),
  ];
}

/**
 * Announces the addresses that come to the gateway device, or whose announcement was lost: it had no carrier, or another one.
 * Its neighbours have the address at the host that the guest was on before, for hours where theirs are not asked again.
 */
function announcements(
  { proxies }: DesiredIp,
  own: readonly ProxyEntry[],
  links: LinkView,
): ActionOf<'announce'>[] {
  const link = links.byIndex(proxies?.device ?? 0);
  const carrier = link?.carrierSince;
  // Only Ethernet and its kind have neighbours: a tunnel's address, where there is one, has another length.
  if (proxies === undefined || carrier === undefined || link?.mac.length !== ethernetLength) return [];
  const { index, name, mac } = link;
  const isTold = ({ address }: Network): boolean => {
    const there = own.find((proxy) => proxy.device === index && proxy.address.address === address);
    // An entry from before this process was announced then, with the carrier that it has found.
    return there !== undefined && (there.announced ?? 0) >= carrier;
  };
  return proxies.hosts
    .filter((address) => !isTold(address))
    .map((address) => ({ kind: 'announce', index, name, address, mac, carrier }));
}

const ethernetLength = 'fe:ff:ff:ff:ff:ff'.length;

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
