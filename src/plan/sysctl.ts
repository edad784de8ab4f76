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
  const sysctls = want?.sysctls ?? [];
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
 * The elements that note the devices which this plan makes forward. IPv4 is switched by the device that a packet comes in by,
 * IPv6 for the whole machine, so that all its devices are noted. Vifs are left out.
 */
export function opensForwarding(
  want: DesiredIp | undefined,
  { ip = noIp, links, nft }: ObservedState,
): Element[] {
  const isOff = (name: string): boolean => ip.sysctl(name) === '0';
  const sysctls = want?.sysctls.filter(({ value }) => value === '1') ?? [];
  if (sysctls.length === 0) return [];
  const forwards6 = sysctls.some(({ name }) => name === all6);
  const begins6 = forwards6 && isOff(all6);
  const goesOn6 = forwards6 && nft?.opened().some(({ set }) => set === 'opened6') === true;
  const opened: Element[] = [];
  for (const link of links.all()) {
    const { name } = link;
    if (name === 'lo' || name.startsWith('vif') || vifOfLink(link) !== undefined) continue;
    const of = (family: 4 | 6): string => `net/ipv${family}/conf/${name}/forwarding`;
    const is4 = isOff(of(4)) && sysctls.some((sysctl) => sysctl.name === of(4));
    // A device that comes later is noted too, unless it is a port: guests and containers bring many of those.
    const is6 = (begins6 || (goesOn6 && link.master === undefined)) && isOff(of(6));
    if (is4) opened.push({ set: 'opened4', key: [name] });
    if (is6) opened.push({ set: 'opened6', key: [name] });
    if (is4 || is6) opened.push({ set: 'itself', key: [name, name] });
  }
  return opened;
}

/**
 * The families in which a vif's packets are forwarded to its ways out only, because without vifd they would not be forwarded.
 * @param opens what this plan makes forward
 */
export function closedFamilies({ ip = noIp, nft }: ObservedState, opens: readonly Element[]): (4 | 6)[] {
  const opened = [...opens, ...(nft?.opened() ?? [])];
  const isOpened = (family: 4 | 6): boolean => opened.some(({ set }) => set === `opened${family}`);
  // A new device is as `default` is, which vifd leaves alone.
  const closed4 = isOpened(4) || ip.sysctl('net/ipv4/conf/default/forwarding') === '0';
  return [...(closed4 ? [4 as const] : []), ...(isOpened(6) ? [6 as const] : [])];
}

/** The sysctls that end the forwarding which vifd began. Where another program has switched it on for the machine, it stays. */
export const closeForwarding = ({ ip = noIp, nft }: ObservedState): Sysctl[] => {
  const opened = nft?.opened() ?? [];
  if (opened.length === 0) return [];
  const names = opened.some(({ set }) => set === 'opened6') && ip.sysctl(default6) !== '1' ? [all6] : [];
  if (ip.sysctl('net/ipv4/conf/all/forwarding') !== '1') {
    for (const { set, key } of opened)
      if (set === 'opened4') names.push(`net/ipv4/conf/${key[0]}/forwarding`);
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
