import { u8, u16, u32 } from './bytes.js';
import type { Values } from './values.js';

const servicePorts = [67, 68, 546, 547, 53, 5353, 9, 1000, 2000];

/** A UDP datagram whose checksum is left out or wrong. */
export function udp(values: Values, ports?: readonly [number, number], payload?: Buffer): Buffer {
  const { random } = values;
  const [from, to] = ports ?? [random.pick(servicePorts), random.pick(servicePorts)];
  const body = payload ?? values.bytes(random.below(16));
  return Buffer.concat([
    u16(from),
    u16(to),
    u16(values.number(8 + body.length)),
    u16(random.pick([0, 1])),
    body,
  ]);
}

/** Ports of a DHCP client, or of a server or a relay. */
export const dhcpPorts = (values: Values): [number, number] =>
  values.honest<[number, number]>([68, 67], () => [
    values.random.pick([67, 68, 1000]),
    values.random.pick([67, 68, 1000]),
  ]);

/** A DHCP message (RFC 2131, 2) with a few options, or cut short. */
export function dhcp(values: Values): Buffer {
  const { random } = values;
  const client = random.chance(0.5) ? Buffer.alloc(4) : values.source(4);
  const relay = values.honest(Buffer.alloc(4), () => values.any(4));
  const message = Buffer.concat([
    u8(values.honest(1, () => random.pick([0, 2, 3]))),
    u8(values.honest(1, () => random.pick([0, 6, 32]))),
    u8(values.honest(6, () => random.pick([0, 5, 7, 16]))),
    u8(0),
    values.bytes(4),
    u16(random.below(10)),
    u16(random.pick([0, 0x8000])),
    Buffer.concat([client, values.any(4), values.any(4), relay]),
    values.sourceMac(),
    Buffer.alloc(10 + 64 + 128),
    u32(0x63825363),
    u8(53, 1, random.pick([1, 3, 4, 7, 8])),
    u8(255),
  ]);
  return values.honest(message, () => message.subarray(0, random.pick([random.below(60), 236, 240])));
}

export function tcp(values: Values): Buffer {
  const { random } = values;
  const header = Buffer.concat([
    u16(random.pick(servicePorts)),
    u16(random.pick(servicePorts)),
    values.bytes(8),
    u8(0x50, random.pick([2, 16, 18, 4])),
    values.bytes(6),
  ]);
  return values.honest(header, () => header.subarray(0, random.below(20)));
}

export const icmp = (values: Values): Buffer =>
  Buffer.concat([
    u8(values.random.pick([8, 0, 3, 5, 9, 10, 11, 13, 17, values.random.below(256)]), 0),
    values.bytes(values.random.pick([0, 2, 6, 12, 30])),
  ]);

/** Reports, leaves and queries of IGMP (RFC 3376), and what routers say in it. */
export const igmp = (values: Values): Buffer =>
  Buffer.concat([
    u8(
      values.random.pick([0x16, 0x22, 0x17, 0x12, 0x11, 0x11, 0x13, 0x14, 0x30, values.random.below(256)]),
      0,
    ),
    values.bytes(values.random.pick([0, 2, 6, 10])),
  ]);

/** A protocol of which nothing is looked at. */
export function opaque(values: Values, known: readonly number[]): [protocol: number, transport: Buffer] {
  const { random } = values;
  const protocol = random.chance(0.8) ? random.pick(known) : random.below(256);
  return [protocol, values.bytes(random.pick([0, 1, 3, 4, 8, 20, 40]))];
}
