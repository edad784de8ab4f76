import { protocols } from '../oracle/protocols.js';
import { checksum, u8, u16 } from './bytes.js';
import { dhcp, dhcpPorts, icmp, igmp, opaque, tcp, udp } from './transport.js';
import { addressBytes, type Values } from './values.js';

/** IPv4 with options and fragments. */
export function ipv4(values: Values): Buffer {
  const { random } = values;
  const [protocol, transport] = payload(values);
  const options = Buffer.concat(
    Array.from({ length: random.chance(0.1) ? random.below(11) : 0 }, () => option(values)),
  );
  const head = 20 + options.length;
  const isDhcp = protocol === protocols.udp && transport.length > 3 && transport.readUInt16BE(2) === 67;
  const unspecified = isDhcp ? random.chance(0.5) : random.chance(0.02);
  const packet = Buffer.concat([
    u8((values.honest(4, () => random.below(16)) << 4) | values.honest(head >> 2, () => random.below(16))),
    u8(random.pick([0, 0, 0, 0xc0])),
    u16(values.number(head + transport.length)),
    values.bytes(2),
    u16(fragment(values)),
    u8(
      random.pick([64, 1, 255]),
      values.honest(protocol, () => random.below(256)),
    ),
    u16(0),
    unspecified ? Buffer.alloc(4) : values.source(4),
    target(values, protocol, unspecified),
    options,
    transport,
  ]);
  if (values.honest(true, () => false)) packet.writeUInt16BE(checksum(packet.subarray(0, head)), 10);
  return packet;
}

/** Where it is sent: a message of DHCP or IGMP mostly to where these go. */
function target(values: Values, protocol: number, unspecified: boolean): Buffer {
  const group = protocol === protocols.igmp ? '224.0.0.22' : unspecified ? '255.255.255.255' : undefined;
  return group === undefined ? values.any(4) : values.honest(addressBytes(4, group), () => values.any(4));
}

/** Reserved bit, don't fragment, more fragments, and an offset in units of 8 bytes. */
function fragment({ random }: Values): number {
  if (random.chance(0.85)) return random.pick([0, 0x4000]);
  return random.pick([0x2000, 0x2001, 1, 2, 3, 185, 0x20b9, 0x1fff, 0x8000, 0xffff, random.below(65536)]);
}

/** Router alert, record route, timestamp, no operation, end; four bytes each. */
const option = ({ random }: Values): Buffer =>
  Buffer.from(random.pick(['94040000', '07040400', '01010101', '00000000', '44040500', '830400ff']), 'hex');

function payload(values: Values): [protocol: number, transport: Buffer] {
  const { random } = values;
  const kind = random.next();
  if (kind < 0.25) return [protocols.udp, udp(values)];
  if (kind < 0.5) return [protocols.udp, udp(values, dhcpPorts(values), dhcp(values))];
  if (kind < 0.6) return [protocols.tcp, tcp(values)];
  if (kind < 0.75) return [protocols.icmp, icmp(values)];
  if (kind < 0.88) return [protocols.igmp, igmp(values)];
  return opaque(values, [protocols.pim, protocols.icmp6, protocols.esp, protocols.ipv6, protocols.vrrp]);
}
