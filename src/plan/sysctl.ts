import type { ActionOf } from '../model/action.js';
import type { ObservedState } from '../model/observed.js';
import { type DesiredIp, noIp } from '../model/routing.js';

/**
 * Sets the sysctls that have another value. One that is not there would have no effect either: below an MTU of 1280 a
 * device has no IPv6, and none of its sysctls.
 */
export function planSysctls(
  want: DesiredIp | undefined,
  { ip = noIp }: ObservedState,
): ActionOf<'set-sysctl'>[] {
  const sysctls = want?.sysctls ?? [];
  return sysctls
    .filter(({ name, value }) => ![value, undefined].includes(ip.sysctl(name)))
    .map((sysctl) => ({ kind: 'set-sysctl', sysctl }));
}
