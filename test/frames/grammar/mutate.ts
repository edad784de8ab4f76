import type { Random } from '../../walk/random.js';
import { u16 } from './bytes.js';
import { flipped } from './values.js';

/** The shortest and the longest frame that a device of the usual MTU sends. */
const least = 14;
const most = 1514;

/** A frame with one or two things wrong that the grammar knows nothing of. */
export function mutated(random: Random, frame: Buffer): Buffer {
  const once = random.pick(ways)(random, frame);
  const twice = random.chance(0.25) ? random.pick(ways)(random, once) : once;
  return (twice.length < least ? frame : twice).subarray(0, most);
}

const ways: readonly ((random: Random, frame: Buffer) => Buffer)[] = [
  // Cut, most often near the end.
  (random, frame) => frame.subarray(0, Math.max(least, frame.length - 1 - random.below(24))),
  (random, frame) => frame.subarray(0, least + random.below(Math.max(1, frame.length - least))),
  // Padded, as a NIC pads a short frame, or with what is not zero.
  (random, frame) =>
    Buffer.concat([frame, Buffer.alloc(Math.max(0, 60 - frame.length) || 1 + random.below(20))]),
  (random, frame) => Buffer.concat([frame, frame.subarray(random.below(frame.length))]),
  flipped,
  (random, frame) => overwritten(random, frame, Buffer.from([random.pick([0, 1, 0x7f, 0x80, 0xff])])),
  (random, frame) => overwritten(random, frame, u16(random.pick([0, 1, 8, 0xffff, random.below(65536)]))),
  // A part missing, and a part twice.
  (random, frame) => {
    const at = least + random.below(Math.max(1, frame.length - least));
    return Buffer.concat([frame.subarray(0, at), frame.subarray(at + random.pick([1, 2, 4, 8]))]);
  },
  (random, frame) => {
    const at = least + random.below(Math.max(1, frame.length - least));
    const part = frame.subarray(at, at + random.pick([1, 2, 4, 8]));
    return Buffer.concat([frame.subarray(0, at), part, frame.subarray(at)]);
  },
];

function overwritten(random: Random, frame: Buffer, bytes: Buffer): Buffer {
  const copy = Buffer.from(frame);
  bytes.copy(copy, random.below(frame.length));
  return copy;
}
