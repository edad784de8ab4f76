import { judgeArp } from './arp.js';
import { type Guest, isMacOf } from './guest.js';
import { judgeIpv4 } from './ipv4.js';
import { judgeIpv6 } from './ipv6.js';
import { drop, type Judgement, pass } from './judgement.js';

const tags = new Set([0x8100, 0x88a8]);
/** Destinations by which switches speak: of IEEE 802.1Q and TRILL, Cisco's, Extreme's, Foundry's, and those of two kinds of rings. */
const control = /^(0180c20000[0234].|01000c.{6}|00e02b00000.|01e052cccccc|0119a70000..|01154e00000.)$/;

/** Whether docs/operate/security.md lets a guest send this frame. Knows nothing of the rules that make it so. */
export function judge(frame: Buffer, guest: Guest): Judgement {
  const type = frame.readUInt16BE(12);
  // The kernel takes the tag off, and drops the frame when there is nothing behind it (skb_vlan_untag).
  if (tags.has(type) && frame.length < 20) return drop('tag without a packet');
  if (!guest.controlFrames && control.test(frame.toString('hex', 0, 6))) return drop('control frame');
  if (guest.hold === 'nothing') return pass('not held');
  if (!isMacOf(guest, frame.subarray(6, 12))) return drop('not from its MAC');
  if (guest.hold === 'mac') return pass('from its MAC');
  if (!tags.has(type)) return judgePacket(type, frame.subarray(14), guest);
  return guest.tagged ? judgePacket(frame.readUInt16BE(16), frame.subarray(18), guest) : drop('tagged');
}

function judgePacket(type: number, packet: Buffer, guest: Guest): Judgement {
  switch (type) {
    case 0x0800:
      return judgeIpv4(packet, guest);
    case 0x0806:
      return judgeArp(packet, guest);
    case 0x86dd:
      return judgeIpv6(packet, guest);
    default:
      return drop('neither ARP, IPv4 nor IPv6');
  }
}
