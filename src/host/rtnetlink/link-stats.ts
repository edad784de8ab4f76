import type { Traffic } from '../../model/observed.js';
import { eachAttribute } from '../netlink/attributes.js';

// Numbers of linux/rtnetlink.h and linux/if_link.h. A device's counters by themselves (since Linux 4.7); /proc/net/dev has those of all.
export const rtmStats = { new: 92, get: 94 };
/** IFLA_STATS_LINK_64, and its bit in the mask of what is asked for. */
const [link64, link64Bit] = [1, 1];
/** struct if_stats_msg. */
const header = 12;
/** Where the counters are in struct rtnl_link_stats64, of 8 bytes each; /proc/net/dev adds the missed ones to the dropped ones of `rx`. */
const at = {
  rxPackets: 0,
  txPackets: 8,
  rxBytes: 16,
  txBytes: 24,
  rxDropped: 48,
  txDropped: 56,
  rxMissed: 120,
};

/** The body of an RTM_GETSTATS. */
export function statsRequest(index: number): Buffer {
  const body = Buffer.alloc(header);
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(link64Bit, 8);
  return body;
}

/** The device and its counters in an RTM_NEWSTATS. */
export function decodeStats(data: Buffer): { index: number; traffic: Traffic | undefined } {
  let traffic: Traffic | undefined;
  eachAttribute(data, header, (type, start) => {
    if (type !== link64) return;
    const count = (of: keyof typeof at): number => Number(data.readBigUInt64LE(start + at[of]));
    traffic = {
      rxBytes: count('rxBytes'),
      rxPackets: count('rxPackets'),
      rxDropped: count('rxDropped') + count('rxMissed'),
      txBytes: count('txBytes'),
      txPackets: count('txPackets'),
      txDropped: count('txDropped'),
    };
  });
  return { index: data.readInt32LE(4), traffic };
}
