import { addressValue, formatAddress, formatNetwork, linkLocalOf } from '../model/address.js';
import type { FilterSpec } from '../model/filter.js';
import type { Holding } from '../model/holding.js';
import { printLimits } from '../model/limits.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { isOff } from './antispoof.js';

/** What a filter holds a vif to, for `vifd status`. Undefined is no filter, which mode `off` or a `[[vif]]` table wants where `off`. */
export function holdingOf(filter: FilterSpec | undefined, off: boolean): Holding {
  const { name, talk } = filter?.group ?? {};
  const others = {
    ...(filter?.limits === undefined ? {} : { limits: printLimits(filter.limits) }),
    ...(name === undefined || talk === undefined ? {} : { group: { name, talk } }),
  };
  if (filter === undefined || filter.hold === 'nothing') {
    const because = off ? 'configuration' : 'no-ip';
    const controlFrames = filter?.controlFrames ?? true;
    return { antispoof: 'off', because, macs: [], networks: [], controlFrames, ...others };
  }
  const { hold, macs, networks, controlFrames } = filter;
  const [mac] = macs;
  const speaks6 = networks.some(({ family }) => family === 6);
  // With an IPv6 address the link-local one of its MAC passes too.
  return {
    antispoof: hold,
    because: null,
    macs,
    networks: [
      ...new Set([...networks.map(formatNetwork), ...(speaks6 && mac !== undefined ? [linkLocal(mac)] : [])]),
    ],
    controlFrames,
    ...others,
  };
}

const linkLocal = (mac: string): string => formatAddress(6, addressValue(linkLocalOf(mac)));

/** What a filter holds the vif of these keys to. With an address in them there is none by configuration alone. */
export const heldTo = (
  snapshot: VifSnapshot | undefined,
  policy: VifPolicy,
  filter: FilterSpec | undefined,
  of: Parameters<typeof isOff>[2],
): Holding =>
  holdingOf(filter, snapshot !== undefined && (snapshot.ip.length > 0 || isOff(snapshot, policy, of)));
