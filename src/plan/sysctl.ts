import type { ActionOf } from '../model/action.js';
import { type DesiredIp, type IpState, noIp } from '../model/ip.js';
import type { Element } from '../model/nft.js';
import { type Link, type ObservedState, vifOfLink } from '../model/observed.js';
import type { Sysctl } from '../model/sysctl.js';

/**
 * Sets the sysctls that have another value. Those that are not there are left out: below an MTU of 1280 a device has no IPv6,
 * and none of its sysctls.
 * @param renamed the old and the new name of a device that an earlier action renames
 */
export function planSysctls(
  want: DesiredIp | undefined,
  { ip = noIp }: ObservedState,
  renamed?: { readonly from: string; readonly to: string },
): ActionOf<'set-sysctl'>[] {
  const found = (name: string): string =>
    renamed === undefined ? name : name.replace(`/${renamed.to}/`, () => `/${renamed.from}/`);
  // What two reasons ask for is set once.
  const sysctls = [...new Map(want?.sysctls.map((sysctl) => [sysctl.name, sysctl])).values()];
  return sysctls
    .filter(({ name, value }) => ![value, undefined].includes(ip.sysctl(found(name))))
    .flatMap((sysctl) => [sysctl, ...(sysctl.name === all6 ? keepDefault(ip) : [])])
    .map((sysctl) => ({ kind: 'set-sysctl', sysctl }));
}

const all6 = 'net/ipv6/conf/all/forwarding';
const default6 = 'net/ipv6/conf/default/forwarding';

/**
 * Sets `default` back after the kernel has changed it with `all` (addrconf_fixup_forwarding). Devices to come do not forward
 * then, and a `default` of 1 shows that another program has made the machine a router.
 */
const keepDefault = (ip: IpState): Sysctl[] =>
  ip.sysctl(default6) === '0' ? [{ name: default6, value: '0' }] : [];

/**
 * The elements that note what this plan makes forward: IPv4 is switched by the device that a packet comes in by, IPv6 for the
 * whole machine, with all devices that come later. Vifs are left out.
 */
export function opensForwarding(want: DesiredIp | undefined, { ip = noIp, links }: ObservedState): Element[] {
  const begins = (want?.sysctls ?? []).filter(({ name, value }) => value === '1' && ip.sysctl(name) === '0');
  return begins.flatMap(({ name }): Element[] => {
    if (name === all6) return [{ set: 'opened_families', key: ['ipv6'] }];
    const device = /^net\/ipv4\/conf\/(.+)\/forwarding$/.exec(name)?.[1];
    const link = device === undefined ? undefined : links.byName(device);
    if (link === undefined || vifOfLink(link) !== undefined) return [];
    return [{ set: 'opened_devices', key: [String(link.index)] }];
  });
}

/**
 * The families in which a vif's packets are forwarded to its ways out only, because without vifd they would not be forwarded.
 * @param opens what this plan makes forward
 */
export function closedFamilies({ ip = noIp, nft }: ObservedState, opens: readonly Element[]): (4 | 6)[] {
  const opened = [...opens, ...(nft?.opened() ?? [])];
  const isIn = (which: Element['set']): boolean => opened.some(({ set }) => set === which);
  // A new device is as `default` is, which vifd leaves alone.
  const closed4 = isIn('opened_devices') || ip.sysctl('net/ipv4/conf/default/forwarding') === '0';
  return [...(closed4 ? [4 as const] : []), ...(isIn('opened_families') ? [6 as const] : [])];
}

/** The sysctls that end the forwarding which vifd began. Where another program has switched it on for the machine, it stays. */
export const closeForwarding = ({ ip = noIp, links, nft }: ObservedState): Sysctl[] => {
  const opened = nft?.opened() ?? [];
  if (opened.length === 0) return [];
  const opened6 = opened.some(({ set }) => set === 'opened_families');
  const names = opened6 && ip.sysctl(default6) !== '1' ? [all6] : [];
  if (ip.sysctl('net/ipv4/conf/all/forwarding') !== '1') {
    for (const { set, key } of opened) {
      const device = set === 'opened_devices' ? links.byIndex(Number(key[0]))?.name : undefined;
      if (device !== undefined) names.push(`net/ipv4/conf/${device}/forwarding`);
    }
  }
  return names.filter((name) => ip.sysctl(name) === '1').map((name) => ({ name, value: '0' }));
};

/**
 * Sets back the sysctls by which a netdev routes, for a vif that becomes a bridge's port. Open vSwitch's userspace datapath
 * leaves its frames to the kernel as well, which would go on answering ARP for the whole network.
 */
export function planNoRouter({ name, master }: Link, { ip = noIp }: ObservedState): ActionOf<'set-sysctl'>[] {
  // A port gives its frames to its master.
  if (master !== undefined) return [];
  const of = (device: string, key: string): string => `net/ipv4/conf/${device}/${key}`;
  return ['proxy_arp', 'forwarding']
    .filter((key) => ip.sysctl(of(name, key)) === '1' && ip.sysctl(of('default', key)) === '0')
    .map((key) => ({ kind: 'set-sysctl', sysctl: { name: of(name, key), value: '0' } }));
}
