/** Builds frames byte by byte, so that a test can send malformed and forged ones. Addresses are given as text. */

export const etherTypes = { ip: 0x0800, arp: 0x0806, rarp: 0x8035, vlan: 0x8100, qinq: 0x88a8, ip6: 0x86dd };
/** Protocols of IPv4 and next headers of IPv6. */
export const protocols = { hopByHop: 0, icmp: 1, tcp: 6, udp: 17, fragment: 44, icmp6: 58, destination: 60 };

const u8 = (...values: number[]): Buffer => Buffer.from(values);
const u16 = (value: number): Buffer => u8((value >> 8) & 255, value & 255);
const u32 = (value: number): Buffer => Buffer.concat([u16(value >>> 16), u16(value & 65535)]);
export const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
const ip4 = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

export function ip6(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const groups = (part: string | undefined): string[] => (part ? part.split(':') : []);
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array<string>(missing).fill('0'), ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

export const ethernet = (to: string, from: string, type: number, payload: Buffer): Buffer =>
  Buffer.concat([mac(to), mac(from), u16(type), payload]);

export const vlanTag = (vid: number, type: number, payload: Buffer): Buffer =>
  Buffer.concat([u16(vid), u16(type), payload]);

export const arp = (of: {
  op?: number;
  senderMac: string;
  senderIp: string;
  targetIp: string;
  hlen?: number;
}): Buffer =>
  Buffer.concat([
    u16(1),
    u16(0x0800),
    u8(of.hlen ?? 6, 4),
    u16(of.op ?? 1),
    mac(of.senderMac),
    ip4(of.senderIp),
    mac('00:00:00:00:00:00'),
    ip4(of.targetIp),
  ]);

/** @param of.fragment the 16 bits of flags and offset */
export function ipv4(
  of: { from: string; to: string; protocol: number; id?: number; fragment?: number; length?: number },
  payload: Buffer,
): Buffer {
  const head = Buffer.concat([
    u8(0x45, 0),
    u16(of.length ?? 20 + payload.length),
    u16(of.id ?? 0),
    u16(of.fragment ?? 0),
    u8(64, of.protocol),
    u16(0),
    ip4(of.from),
    ip4(of.to),
  ]);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, payload]);
}

export const udp = (from: number, to: number, payload: Buffer = Buffer.from('vifd')): Buffer =>
  Buffer.concat([u16(from), u16(to), u16(8 + payload.length), u16(0), payload]);

export const icmp = (type: number, body: Buffer): Buffer => {
  const message = Buffer.concat([u8(type, 0), u16(0), body]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
};

/** @param of.length the header's payload length, where it is not to be the actual one */
export const ipv6 = (
  of: { from: string; to: string; next: number; hops?: number },
  payload: Buffer,
): Buffer =>
  Buffer.concat([
    u32(0x60000000),
    u16(payload.length),
    u8(of.next, of.hops ?? 255),
    ip6(of.from),
    ip6(of.to),
    payload,
  ]);

/** An ICMPv6 message with the checksum over its pseudo header (RFC 8200, 8.1). */
export function icmpv6(from: string, to: string, type: number, body: Buffer): Buffer {
  const message = Buffer.concat([u8(type, 0), u16(0), body]);
  const pseudo = Buffer.concat([ip6(from), ip6(to), u32(message.length), u32(58)]);
  message.writeUInt16BE(checksum(Buffer.concat([pseudo, message])), 2);
  return message;
}

/** The body of a neighbour solicitation or advertisement: reserved bits or flags, a target, options. */
export const neighbour = (flags: number, target: string, ...options: Buffer[]): Buffer =>
  Buffer.concat([u32(flags), ip6(target), ...options]);

/** The option of neighbour discovery with the source's (1) or the target's (2) link-layer address. */
export const linkLayer = (type: 1 | 2, address: string): Buffer => Buffer.concat([u8(type, 1), mac(address)]);

export const nonce = (): Buffer => Buffer.concat([u8(14, 1), Buffer.from('nonce!')]);

export const igmp = (type: number): Buffer => icmp(type, Buffer.alloc(4));

/** A DHCP message of this type (RFC 2131), with the client's own address and its relay's where it has one. */
export function dhcp(of: {
  type: number;
  mac: string;
  op?: number;
  client?: string;
  relay?: string;
}): Buffer {
  const none = '0.0.0.0';
  return Buffer.concat([
    u8(of.op ?? 1, 1, 6, 0),
    u32(4711),
    u32(0),
    ...[of.client ?? none, none, none, of.relay ?? none].map(ip4),
    mac(of.mac),
    Buffer.alloc(10 + 64 + 128),
    u32(0x63825363),
    u8(53, 1, of.type, 255),
  ]);
}

/** An authentication header (RFC 4302) with an integrity check value of 4 bytes. */
export const authentication = (next: number): Buffer => Buffer.concat([u8(next, 2), Buffer.alloc(14, 1)]);

/** Hop-by-hop or destination options: padding, or the router alert of MLD. */
export const options6 = (next: number, alert = false): Buffer =>
  alert ? u8(next, 0, 5, 2, 0, 0, 1, 0) : u8(next, 0, 1, 4, 0, 0, 0, 0);

/** A fragment header (RFC 8200, 4.5); the offset counts in bytes. */
export const fragment6 = (next: number, offset: number, more: boolean, id = 7): Buffer =>
  Buffer.concat([u8(next, 0), u16(offset | (more ? 1 : 0)), u32(id)]);

function checksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
