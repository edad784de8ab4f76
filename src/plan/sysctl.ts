import type { IpAction } from '../model/action.js';
import type { ObservedState } from '../model/observed.js';
import { type DesiredIp, type IpState, noIp } from '../model/routing.js';

/** One that is not there has no effect either: below an MTU of 1280 a device has no IPv6, and none of its sysctls. */
export function sysctls(want: DesiredIp, ip: IpState): IpAction[] {
  return want.sysctls
    .filter(({ name, value }) => ![value, undefined].includes(ip.sysctl(name)))
    .map((sysctl) => ({ kind: 'set-sysctl', sysctl }));
}

/** The sysctls of a device that is about to get its name can be set only afterwards. */
export const planSysctls = (want: DesiredIp | undefined, observed: ObservedState): IpAction[] =>
  want === undefined ? [] : sysctls(want, observed.ip ?? noIp);
