import { compare, type Kernel } from './compare.js';
import type { Difference } from './difference.js';
import type { Surroundings } from './grammar/values.js';

/**
 * The simplest frame found in which kernel and promise differ in the same way: shorter, and with more zeros. All frames that
 * are a step simpler are tried at once.
 */
export async function shrink(
  difference: Difference,
  around: Surroundings,
  kernel: Kernel,
): Promise<Difference> {
  for (let best = difference; ; ) {
    const found = await compare(simpler(best.frame), around, kernel);
    const next = found.find(
      ({ kernel: passes, promise }) => passes === best.kernel && promise.because === best.promise.because,
    );
    if (next === undefined) return best;
    best = next;
  }
}

/** Frames that are a step simpler, the simplest first. */
export function simpler(frame: Buffer): Buffer[] {
  const cut = [64, 16, 8, 4, 2, 1]
    .filter((length) => frame.length - length >= 14)
    .map((length) => frame.subarray(0, frame.length - length));
  const without = [40, 8, 4].flatMap((length) =>
    places(14, frame.length - length, 2).map((at) =>
      Buffer.concat([frame.subarray(0, at), frame.subarray(at + length)]),
    ),
  );
  const zeroed = [16, 4, 1].flatMap((length) =>
    places(0, frame.length, length)
      .filter((at) => frame.subarray(at, at + length).some((byte) => byte !== 0))
      .map((at) => {
        const copy = Buffer.from(frame);
        copy.fill(0, at, Math.min(at + length, copy.length));
        return copy;
      }),
  );
  return [...cut, ...without, ...zeroed].slice(0, 2000);
}

const places = (from: number, to: number, step: number): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
