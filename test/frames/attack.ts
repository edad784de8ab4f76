import { Random } from '../walk/random.js';
import type { Attacker } from './attackers.js';
import { compareRandom, type Tally } from './compare.js';
import type { Difference } from './difference.js';

/** A guest, and the frames of which the kernel and the promise say different things. */
export interface Attacked {
  readonly attacker: Attacker;
  readonly differences: readonly Difference[];
}

/** Has each guest send its part of so many frames; they are the same for the same seed. */
export async function attack(
  attackers: readonly Attacker[],
  { frames, seed }: { frames: number; seed: number },
  tally: Tally = { frames: 0, passed: 0, because: new Map() },
): Promise<Attacked[]> {
  const attacked: Attacked[] = [];
  const each = Math.ceil(frames / attackers.length);
  for (const [i, attacker] of attackers.entries()) {
    const kernel = (batch: readonly Buffer[]) => attacker.probe.passes(batch);
    const random = new Random(seed + 1_000_003 * i);
    attacked.push({
      attacker,
      differences: await compareRandom(random, each, attacker.around, kernel, tally),
    });
  }
  return attacked;
}
