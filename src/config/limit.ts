import type { LimitOptions } from '../model/limits.js';
import { type Kind, recordOf } from './kinds.js';
import { bitRate, burstSize, packetRate } from './network-kinds.js';

const written = recordOf(
  {},
  {
    from_guest: bitRate,
    to_guest: bitRate,
    burst: burstSize,
    packets: packetRate,
    broadcast: packetRate,
  },
);

/** The limits of a vif. */
export const vifLimit: Kind<LimitOptions, NonNullable<(typeof written)['written']>> = {
  expected: written.expected,
  read: (value, at) => {
    const { from_guest, to_guest, ...others } = written.read(value, at);
    return {
      ...(from_guest === undefined ? {} : { fromGuest: from_guest }),
      ...(to_guest === undefined ? {} : { toGuest: to_guest }),
      ...others,
    };
  },
};
