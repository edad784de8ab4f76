import { type Guest, isMacOf, owns } from './guest.js';
import type { Packet4 } from './ipv4.js';
import { drop, type Judgement, pass } from './judgement.js';

/** A datagram to a DHCP server (RFC 2131, 2): whole, a client's, and about the guest itself. */
export function judgeDhcp(packet: Packet4, guest: Guest): Judgement {
  if (packet.header !== 20) return drop('DHCP behind IPv4 options');
  if (packet.isPart) return drop('DHCP in fragments');
  if (packet.total < 264 || packet.transport.readUInt16BE(4) < 244) return drop('DHCP that ends early');
  const message = packet.transport.subarray(8);
  if (message.toString('hex', 0, 3) !== '010106') return drop('DHCP that is no request of Ethernet');
  if (!isMacOf(guest, message.subarray(28, 34))) return drop('DHCP in the name of another');
  if (message.readUInt32BE(24) !== 0) return drop('DHCP of a relay');
  const client = message.subarray(12, 16);
  return client.readUInt32BE() === 0 || owns(guest, client)
    ? pass('DHCP')
    : drop("DHCP about another's address");
}
