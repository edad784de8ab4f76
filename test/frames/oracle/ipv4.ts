import { judgeDhcp } from './dhcp.js';
import { type Guest, owns, speaks } from './guest.js';
import { drop, type Judgement, pass } from './judgement.js';
import { protocols } from './protocols.js';

const reports = new Set([0x12, 0x16, 0x17, 0x22]);

/** An IPv4 packet, taken apart. */
export interface Packet4 {
  /** In bytes: of the header, and of all as the header has it. */
  readonly header: number;
  readonly total: number;
  readonly source: Buffer;
  readonly target: Buffer;
  readonly protocol: number;
  /** A fragment, and one that is not the first. */
  readonly isPart: boolean;
  readonly isLater: boolean;
  /** What is behind the header in the frame, padding included. */
  readonly transport: Buffer;
}

/** IPv4: from its addresses, nothing of a router's or a DHCP server's, and DHCP only about itself. */
export function judgeIpv4(frame: Buffer, guest: Guest): Judgement {
  if (!speaks(guest, 4)) return drop('it has no IPv4 address');
  if (frame.length < 20) return drop('IPv4 header that ends early');
  const header = 4 * (frame.readUInt8(0) & 15);
  const total = frame.readUInt16BE(2);
  if (frame.readUInt8(0) >> 4 !== 4 || header < 20) return drop('no IPv4 header');
  if (total < header || total > frame.length) return drop('IPv4 of a wrong length');
  const flags = frame.readUInt16BE(6);
  const packet = {
    ...{ header, total },
    source: frame.subarray(12, 16),
    target: frame.subarray(16, 20),
    protocol: frame.readUInt8(9),
    isPart: (flags & 0x3fff) !== 0,
    isLater: (flags & 0x1fff) !== 0,
    transport: frame.subarray(header),
  };
  if (owns(guest, packet.source)) return judgeOwn(packet, guest);
  if (packet.source.readUInt32BE() !== 0) return drop("from another's IPv4 address");
  const isBroadcast = packet.target.readUInt32BE() === 0xffffffff;
  const isUdp = packet.protocol === protocols.udp && packet.transport.length >= 8 && !packet.isLater;
  if (!isBroadcast || !isUdp || packet.transport.readUInt32BE(0) !== 0x00440043) return drop('from 0.0.0.0');
  return judgeDhcp(packet, guest);
}

function judgeOwn(packet: Packet4, guest: Guest): Judgement {
  const { protocol, transport, isLater, isPart, target } = packet;
  if (protocol === protocols.pim) return drop('PIM');
  if (isLater) return protocol === protocols.igmp ? drop('IGMP in fragments') : pass('later fragment');
  switch (protocol) {
    case protocols.udp: {
      if (transport.length < 8) return drop('UDP header that ends early');
      const [from, to] = [transport.readUInt16BE(0), transport.readUInt16BE(2)];
      if (to === 68 || from === 67) return drop('DHCP of a server');
      return to === 67 ? judgeDhcp(packet, guest) : pass('UDP');
    }
    case protocols.icmp:
      if (transport.length < 1) return drop('ICMP without a type');
      return [5, 9].includes(transport.readUInt8(0)) ? drop('ICMP of routers') : pass('ICMP');
    case protocols.igmp:
      if (transport.length < 1) return drop('IGMP without a type');
      if (isPart) return drop('IGMP in fragments');
      if (target.readUInt8(0) >> 4 !== 14) return drop('IGMP to one host');
      return reports.has(transport.readUInt8(0)) ? pass('IGMP report') : drop('IGMP of routers');
    default:
      return pass('IPv4');
  }
}
