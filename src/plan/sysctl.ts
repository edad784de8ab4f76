import type { ActionOf } from '../model/action.js';
import { type DesiredIp, noIp } from '../model/ip.js';
import type { Link, ObservedState } from '../model/observed.js';

/**
 * Sets the sysctls that have another value. One that is not there would have no effect either: below an MTU of 1280 a
 * device has no IPv6, and none of its sysctls.
 * @param renamed a device that has its name only when this is performed: its sysctls are still to be found under another
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
    .map((sysctl) => ({ kind: 'set-sysctl', sysctl }));
}

/**
 * Sets back what makes a netdev an interface of a router, for a vif that is to become a bridge's port. Open vSwitch's
 * userspace datapath leaves its frames to the kernel as well, which would go on answering ARP for the whole network.
 */
export function planNoRouter({ name, master }: Link, { ip = noIp }: ObservedState): ActionOf<'set-sysctl'>[] {
  // A port gives its frames to its master.
  if (master !== undefined) return [];
  const of = (device: string, key: string): string => `net/ipv4/conf/${device}/${key}`;
  return ['proxy_arp', 'forwarding']
    .filter((key) => ip.sysctl(of(name, key)) === '1' && ip.sysctl(of('default', key)) === '0')
    .map((key) => ({ kind: 'set-sysctl', sysctl: { name: of(name, key), value: '0' } }));
}
