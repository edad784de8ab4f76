import type { IpState } from '../../model/ip.js';
import type { Link, LinkView } from '../../model/observed.js';
import type { Sysctl } from '../../model/sysctl.js';

/** Whether IPv6 is in this kernel and switched on. */
export const hasIpv6 = (ip: IpState): boolean => ip.sysctl('net/ipv6/conf/all/forwarding') !== undefined;

/**
 * The sysctls with which a vif is an interface of a router, and `outside` the other one: forwarding for these two and
 * not for the whole machine, so that a driver domain with more networks does not begin to join them.
 *
 * IPv6 forwards only when `all` does (ip6_forward), and that makes every device ignore router advertisements, unless
 * accept_ra is 2: a device that lives by them is told so first, or the domain would lose its default route.
 */
export function routerSysctls(
  vif: string,
  outside: readonly (Link | undefined)[],
  proxied: Link | undefined,
  { links, ip }: { links: LinkView; ip: IpState },
  version6: boolean,
): Sysctl[] {
  const v4 = (device: string, key: string, value: string): Sysctl => ({
    name: `net/ipv4/conf/${device}/${key}`,
    value,
  });
  const v6 = (device: string, key: string, value: string): Sysctl => ({
    name: `net/ipv6/conf/${device}/${key}`,
    value,
  });
  const others = [...new Set(outside.flatMap((link) => (link ? [link.name] : [])))];
  return [
    v4(vif, 'forwarding', '1'),
    v4(vif, 'proxy_arp', '1'),
    // Redirects of a guest are not followed: it is not a router of this domain.
    v4(vif, 'accept_redirects', '0'),
    // Proxied answers are held back for up to 0.8 s otherwise, which a guest's first packet would wait.
    { name: `net/ipv4/neigh/${vif}/proxy_delay`, value: '0' },
    ...others.map((name) => v4(name, 'forwarding', '1')),
    ...(hasIpv6(ip) ? [v6(vif, 'accept_ra', '0')] : []),
    ...(version6 && hasIpv6(ip)
      ? [
          ...advertised(ip, links, others)
            .filter((name) => ['1', '2'].includes(ip.sysctl(`net/ipv6/conf/${name}/accept_ra`) ?? ''))
            .map((name) => v6(name, 'accept_ra', '2')),
          v6('all', 'forwarding', '1'),
          v6(vif, 'forwarding', '1'),
          ...(proxied ? [v6(proxied.name, 'forwarding', '1'), ...answering(proxied.name)] : []),
        ]
      : []),
  ];
}

/**
 * The sysctls with which a device answers neighbour solicitations for its proxy entries. One that is sent to the address itself, as
 * neighbours do every half minute to verify an entry that they have, counts as a packet to forward, and ip6_forward asks `all` alone.
 */
export const answering = (device: string): Sysctl[] =>
  [device, 'all'].map((name) => ({ name: `net/ipv6/conf/${name}/proxy_ndp`, value: '1' }));

/** The devices that may have their default route from router advertisements. */
function advertised({ routes }: IpState, links: LinkView, outside: readonly string[]): string[] {
  const names = routes.waysOut(6).map((index) => links.byIndex(index)?.name);
  return [...new Set([...outside, ...names.filter((name) => name !== undefined)])];
}
