import { protocols } from '../oracle/protocols.js';
import { u8, u16, u32 } from './bytes.js';
import type { Values } from './values.js';

/** ICMPv6: neighbour discovery (RFC 4861), listener discovery (RFC 3810), echo, errors, and what routers say. */
export function icmpv6(values: Values): [protocol: number, transport: Buffer, isMulticastReport: boolean] {
  const { random } = values;
  const kind = random.next();
  const message = (type: number, ...body: Buffer[]): Buffer =>
    Buffer.concat([
      u8(
        type,
        values.honest(0, () => random.below(3)),
      ),
      u16(random.below(65536)),
      ...body,
    ]);
  const target = random.chance(0.7) ? values.own(6) : values.any(6);
  if (kind < 0.2) return plain(message(135, u32(0), target, options(values, 1)));
  if (kind < 0.45)
    return plain(message(136, u32(random.pick([0x20000000, 0x60000000, 0])), target, options(values, 2)));
  if (kind < 0.55) return plain(message(133, u32(0), options(values, 1)));
  if (kind < 0.65)
    return plain(message(134, Buffer.from('400007080000000000000000', 'hex'), options(values, 1)));
  if (kind < 0.68) return plain(message(137, u32(0), target, target, options(values, 2)));
  if (kind < 0.85)
    return [
      protocols.icmp6,
      message(random.pick([143, 131, 132, 130]), values.bytes(random.pick([4, 20, 24]))),
      true,
    ];
  const type = random.chance(0.6) ? random.pick([128, 129, 1, 2, 3, 4]) : random.below(256);
  const body = values.bytes(random.pick([0, 4, 8, 16]));
  return plain(values.honest(message(type, body), () => message(type).subarray(0, random.below(4))));
}

const plain = (transport: Buffer): [number, Buffer, boolean] => [protocols.icmp6, transport, false];

/** Options of neighbour discovery: mostly the one that belongs there or none. */
function options(values: Values, own: 1 | 2): Buffer {
  const { random } = values;
  const linkLayer = (type: number): Buffer =>
    Buffer.concat([
      u8(
        type,
        values.honest(1, () => random.below(3)),
      ),
      values.sourceMac(),
    ]);
  const nonce = (): Buffer => Buffer.concat([u8(14, 1), values.bytes(6)]);
  if (random.chance(0.35)) return Buffer.alloc(0);
  if (random.chance(0.6)) return linkLayer(own);
  const one = (): Buffer =>
    random.pick([
      () => linkLayer(own),
      () => linkLayer(own === 1 ? 2 : 1),
      nonce,
      () => Buffer.alloc(8),
      () => values.bytes(8),
    ])();
  return Buffer.concat(Array.from({ length: random.pick([1, 1, 2]) }, one));
}
