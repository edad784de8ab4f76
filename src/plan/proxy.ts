import type { ActionOf } from '../model/action.js';
import type { Network } from '../model/address.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import type { LinkView, ObservedState } from '../model/observed.js';
import type { ProxyEntry } from '../model/proxy.js';
import { type VifId, vifName } from '../model/vif-id.js';

type ProxyAction = ActionOf<'set-proxy' | 'delete-proxy' | 'announce'>;

/**
 * Sets the proxy entries that a vif lacks, announces their addresses at the gateway device, and deletes entries that it owns
 * and does not want. Entries of other owners stay.
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
  // While there is no gateway device, the entries on it are left as they are.
  const own = ip.routes
    .proxiesOf(owner)
    .filter((proxy) => want.proxies !== undefined || proxy.device === link?.index);
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
 * Announces the addresses that are new on the gateway device, and those announced before its carrier came last. Its neighbours may
 * have the address with the MAC of the guest's former host, for hours where their entries are not verified.
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
    // An entry of an earlier daemon counts as announced with the carrier that this one has found.
    return there !== undefined && (there.announced ?? 0) >= carrier;
  };
  return proxies.hosts
    .filter((address) => !isTold(address))
    .map((address) => ({ kind: 'announce', index, name, address, mac, carrier }));
}

const ethernetLength = 'fe:ff:ff:ff:ff:ff'.length;

/** The action that deletes a proxy entry; it carries the device's index as its name where the device is gone. */
export const deleteProxy = (
  { device: index, address, owner }: ProxyEntry,
  links: LinkView,
): ActionOf<'delete-proxy'> => ({
  kind: 'delete-proxy',
  index,
  name: links.byIndex(index)?.name ?? `${index}`,
  address,
  owner,
});
