import { u8, u16 } from './bytes.js';
import type { Values } from './values.js';

/** ARP, RARP and InARP. */
export function arp(values: Values): Buffer {
  const { random } = values;
  const sender = random.chance(0.2) ? Buffer.alloc(4) : values.source(4);
  return Buffer.concat([
    u16(values.honest(1, () => random.below(20))),
    u16(values.honest(0x0800, () => random.pick([0x86dd, 0x0806, 0]))),
    u8(values.honest(6, () => random.pick([0, 4, 5, 7, 8, 20]))),
    u8(values.honest(4, () => random.pick([0, 3, 5, 6, 16]))),
    u16(values.honest(random.pick([1, 2]), () => random.pick([0, 3, 4, 8, 9, 256, 257]))),
    values.sourceMac(),
    sender,
    random.chance(0.5) ? Buffer.alloc(6) : values.targetMac(),
    random.chance(0.5) ? values.own(4) : values.any(4),
  ]);
}
