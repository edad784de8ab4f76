import { type Guest, isMacOf, owns, speaks } from './guest.js';
import { drop, type Judgement, pass } from './judgement.js';

/** ARP (RFC 826): from its MAC and one of its addresses, or a probe for one of them (RFC 5227). */
export function judgeArp(packet: Buffer, guest: Guest): Judgement {
  if (!speaks(guest, 4)) return drop('it has no IPv4 address');
  if (packet.length < 28) return drop('ARP that ends early');
  if (packet.toString('hex', 0, 6) !== '000108000604') return drop('ARP of other kinds of addresses');
  const operation = packet.readUInt16BE(6);
  if (operation !== 1 && operation !== 2) return drop('neither a request nor a reply');
  if (!isMacOf(guest, packet.subarray(8, 14))) return drop('ARP from another MAC');
  const [sender, target] = [packet.subarray(14, 18), packet.subarray(24, 28)];
  if (owns(guest, sender)) return pass('ARP');
  if (operation !== 1 || sender.readUInt32BE() !== 0) return drop("ARP from another's address");
  return owns(guest, target) ? pass('ARP probe') : drop("ARP probe for another's address");
}
