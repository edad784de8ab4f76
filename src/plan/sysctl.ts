import type { ActionOf } from '../model/action.js';
import { type DesiredIp, noIp } from '../model/ip.js';
import type { ObservedState } from '../model/observed.js';

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
