import type { Random } from '../../walk/random.js';
import { arp } from './arp.js';
import { u16 } from './bytes.js';
import { ipv4 } from './ipv4.js';
import { ipv6 } from './ipv6.js';
import { mutated } from './mutate.js';
import { type Surroundings, Values } from './values.js';

/** Another frame of a guest's each time: of the grammar, mostly nearly valid, and sometimes damaged. */
export function randomFrame(random: Random, around: Surroundings): Buffer {
  const values = new Values(random, random.pick([1, 0.97, 0.97, 0.9, 0.7]), around);
  const head = Buffer.concat([values.targetMac(), values.sourceMac()]);
  const frame = Buffer.concat([head, typed(values, around.guest.tagged ? 0.4 : 0.06)]);
  return random.chance(0.25) ? mutated(random, frame) : frame;
}

/** An EtherType, or a length as of 802.3, and what is behind it. */
function typed(values: Values, tags: number): Buffer {
  const { random } = values;
  if (random.chance(tags)) {
    const tag = u16(random.pick([0, 5, 4094, 0xe005, random.below(65536)]));
    return Buffer.concat([u16(random.pick([0x8100, 0x8100, 0x88a8, 0x9100])), tag, typed(values, 0.15)]);
  }
  const kind = random.chance(0.9) ? values.spoken() : random.next();
  if (kind < 0.15) return Buffer.concat([u16(values.honest(0x0806, () => otherType(random))), arp(values)]);
  if (kind < 0.5) return Buffer.concat([u16(values.honest(0x0800, () => otherType(random))), ipv4(values)]);
  if (kind < 0.95) return Buffer.concat([u16(values.honest(0x86dd, () => otherType(random))), ipv6(values)]);
  if (kind < 0.97) return Buffer.concat([u16(otherType(random)), values.bytes(random.below(60))]);
  return logicalLink(values);
}

const otherType = (random: Random): number =>
  random.pick([
    0x0800, 0x0806, 0x86dd, 0x8035, 0x88cc, 0x888e, 0x8863, 0x8864, 0x8847, 0x88b5, 0x8100, 0x05dc,
  ]);

/** LLC: a bridge's protocol unit, SNAP with IP or one of Cisco's protocols, or something. */
function logicalLink(values: Values): Buffer {
  const { random } = values;
  const payload = random.pick([
    () => Buffer.from('4242030000000000', 'hex'),
    () => Buffer.concat([Buffer.from('aaaa03000000', 'hex'), u16(0x0800), ipv4(values)]),
    () => Buffer.concat([Buffer.from('aaaa03000000', 'hex'), u16(0x86dd), ipv6(values)]),
    () => Buffer.concat([Buffer.from('aaaa03000000', 'hex'), u16(0x0806), arp(values)]),
    () => Buffer.from('aaaa0300000c2000', 'hex'),
    () => Buffer.from('aaaa0300000c010b', 'hex'),
    () => values.bytes(random.below(40)),
  ])();
  return Buffer.concat([u16(values.number(payload.length)), payload]);
}
