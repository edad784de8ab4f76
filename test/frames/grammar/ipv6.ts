import { protocols } from '../oracle/protocols.js';
import { u8, u16, u32 } from './bytes.js';
import { icmpv6 } from './icmpv6.js';
import { opaque, tcp, udp } from './transport.js';
import { addressBytes, type Values } from './values.js';

/** IPv6 with a chain of extension headers, mostly none. */
export function ipv6(values: Values): Buffer {
  const { random } = values;
  const [protocol, transport, isMulticastReport] = payload(values);
  const isDiscovery = protocol === protocols.icmp6;
  const unspecified = random.chance(isDiscovery ? 0.25 : 0.03);
  let [next, chain] = [protocol, transport];
  const headers = random.chance(0.55) ? 0 : 1 + random.below(3);
  const kinds = Array.from({ length: headers }, () => random.pick(extensions));
  // RFC 8200, 4.1: hop-by-hop options come first, which is last here.
  if (isMulticastReport && random.chance(0.7)) kinds.splice(0, kinds.length, hopByHop);
  for (const kind of kinds) [next, chain] = kind(values, next, chain);
  return Buffer.concat([
    u32(((values.honest(6, () => random.below(16)) << 28) | random.below(2 ** 20)) >>> 0),
    u16(values.number(chain.length)),
    u8(values.honest(next, () => random.below(256))),
    u8(
      isMulticastReport
        ? values.honest(1, () => 255)
        : values.honest(255, () => random.pick([1, 64, 254, 0])),
    ),
    unspecified ? Buffer.alloc(16) : values.source(6),
    target(values, isMulticastReport),
    chain,
  ]);
}

/** Where it is sent: a listener's report mostly to where these go. */
const target = (values: Values, isMulticastReport: boolean): Buffer =>
  isMulticastReport && values.random.chance(0.8)
    ? addressBytes(6, values.random.pick(['ff02::16', 'ff02::2', 'ff02::fb']))
    : values.any(6);

type Extension = (values: Values, next: number, rest: Buffer) => [number, Buffer];

/** A header of a multiple of 8 bytes, whose second byte is how many of these come after the first. */
const sized =
  (kind: number): Extension =>
  (values, next, rest) => {
    const units = values.random.pick([0, 0, 0, 1, 2]);
    const head = u8(
      next,
      values.honest(units, () => values.random.pick([0, 1, 9, 255])),
    );
    const body = Buffer.concat([u8(1, 4), Buffer.alloc(4 + 8 * units)]);
    return [kind, Buffer.concat([head, body, rest])];
  };

const hopByHop: Extension = (values, next, rest) =>
  values.random.chance(0.5)
    ? [protocols.hopByHop, Buffer.concat([u8(next, 0, 5, 2, 0, 0, 1, 0), rest])]
    : sized(protocols.hopByHop)(values, next, rest);

const fragment: Extension = (values, next, rest) => {
  const { random } = values;
  const offset = random.pick([0, 0, 0, 8, 16, 24, 1448, 8 * random.below(8192)]);
  const more = random.pick([0, 1, 1, 7, 6]);
  const kept = random.chance(0.7) ? rest : rest.subarray(0, random.below(Math.min(rest.length, 12) + 1));
  return [protocols.fragment, Buffer.concat([u8(next, 0), u16(offset | more), values.bytes(4), kept])];
};

/** AH counts its length in units of 4 bytes, less two (RFC 4302). */
const authentication: Extension = (values, next, rest) => [
  protocols.ah,
  Buffer.concat([
    u8(
      next,
      values.honest(4, () => values.random.pick([0, 1, 255])),
    ),
    Buffer.alloc(22),
    rest,
  ]),
];

const encrypted: Extension = (values, _next, rest) => [protocols.esp, Buffer.concat([values.bytes(8), rest])];

const unknown: Extension = (values, next, rest) =>
  sized(values.random.pick([253, 254, 140, 139, 135, 138, values.random.below(256)]))(values, next, rest);

const extensions: readonly Extension[] = [
  hopByHop,
  sized(protocols.destination),
  sized(protocols.destination),
  sized(protocols.routing),
  fragment,
  fragment,
  fragment,
  authentication,
  encrypted,
  sized(protocols.mobility),
  sized(protocols.hip),
  sized(protocols.shim6),
  unknown,
];

function payload(values: Values): [protocol: number, transport: Buffer, isMulticastReport: boolean] {
  const kind = values.random.next();
  if (kind < 0.55) return icmpv6(values);
  if (kind < 0.8) return [protocols.udp, udp(values), false];
  if (kind < 0.88) return [protocols.tcp, tcp(values), false];
  const known = [
    protocols.pim,
    protocols.none,
    protocols.icmp,
    protocols.igmp,
    protocols.gre,
    protocols.sctp,
  ];
  return [...opaque(values, known), false];
}
