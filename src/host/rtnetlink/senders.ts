import { formatBytes } from '../netlink/address-bytes.js';
import { NetlinkConnection } from '../netlink/connection.js';
import { type NetlinkMessage, parseAttributes } from '../netlink/format.js';
import { family } from './link-message.js';
import { nda, nudPermanent, rtmNeigh } from './neighbour-state.js';

/** NUD_REACHABLE, NUD_STALE, NUD_DELAY and NUD_PROBE of linux/neighbour.h: an entry that was learned and has a MAC address. */
const learned = 0x02 | 0x04 | 0x08 | 0x10;
const afBridge = 7;
const ntfSelf = 0x02;

/** What the kernel has learned of the hosts around: which MAC address an address has, and behind which port of a bridge a MAC address is. */
export interface Senders {
  readonly neighbours: readonly { readonly index: number; readonly address: string; readonly mac: string }[];
  /** The forwarding databases of bridges; `index` is the port's. */
  readonly forwarding: readonly { readonly index: number; readonly mac: string }[];
}

/** Reads it once. @throws NetlinkError */
export async function readSenders(): Promise<Senders> {
  const neighbours: { index: number; address: string; mac: string }[] = [];
  const forwarding: { index: number; mac: string }[] = [];
  const netlink = new NetlinkConnection([], {
    message: ({ type, data }: NetlinkMessage) => {
      if (type !== rtmNeigh.add || data.length < 12) return;
      const [state, flags] = [data.readUInt16LE(8), data.readUInt8(10)];
      const index = data.readInt32LE(4);
      const { address, mac } = attributesOf(data.subarray(12));
      if (mac === undefined || (state & nudPermanent) !== 0 || (state & learned) === 0) return;
      if (data.readUInt8(0) === afBridge) {
        if ((flags & ntfSelf) === 0) forwarding.push({ index, mac });
      } else if (address !== undefined) neighbours.push({ index, address, mac });
    },
    overflow: () => undefined,
  });
  try {
    for (const of of [family.inet, family.inet6, afBridge]) {
      const header = Buffer.alloc(12);
      header.writeUInt8(of, 0);
      await netlink.dump(rtmNeigh.get, header);
    }
  } finally {
    netlink.close();
  }
  return { neighbours, forwarding };
}

function attributesOf(data: Buffer): { address?: string; mac?: string } {
  const found: { address?: string; mac?: string } = {};
  parseAttributes(data, ({ type, data: value }) => {
    if (type === nda.dst) found.address = formatBytes(value);
    else if (type === nda.lladdr && value.length === 6)
      found.mac = value.toString('hex').replace(/(..)(?=.)/g, '$1:');
  });
  return found;
}
