import type { Coverage } from './coverage.js';
import { mutate, type Random } from './mutate.js';
import type { Target } from './targets.js';

/** How many inputs run between two looks at the coverage: a look takes as long as some hundred inputs. */
const batchSize = 256;
/** An input that takes more than this many ms of CPU is a fault of its own. */
const longestMs = 1000;

/** An input that a decoder did not stand. */
export class Found extends Error {
  readonly input: Buffer;

  constructor(input: Buffer, cause: unknown) {
    super(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
    this.input = input;
  }
}

/** Runs one input. @throws Found */
export async function runOne(target: Target, input: Buffer): Promise<void> {
  const began = process.cpuUsage();
  try {
    // A copy: what keeps a part of it must not see the next one.
    await target.run(Buffer.from(input));
  } catch (error) {
    throw new Found(input, error);
  }
  const { user, system } = process.cpuUsage(began);
  const ms = (user + system) / 1000;
  if (ms > longestMs) throw new Found(input, `it took ${Math.round(ms)} ms`);
}

/**
 * Runs mutations of the corpus, to which those that reach new code are added.
 * @returns the corpus
 * @throws Found
 */
export async function fuzz(
  target: Target,
  corpus: readonly Buffer[],
  coverage: Coverage,
  random: Random,
  runs: number,
): Promise<Buffer[]> {
  const kept: Buffer[] = [];
  /** Runs inputs, and keeps those that reach new blocks: half of them, and again half, until it is one. */
  const explore = async (inputs: readonly Buffer[]): Promise<void> => {
    for (const input of inputs) await runOne(target, input);
    const blocks = await coverage.fresh();
    if (blocks.length === 0) return;
    if (inputs.length === 1) {
      coverage.learn(blocks);
      kept.push(...inputs);
      return;
    }
    const half = inputs.length >> 1;
    await explore(inputs.slice(0, half));
    await explore(inputs.slice(half));
  };
  for (const input of corpus) await explore([input]);
  if (kept.length === 0) kept.push(...corpus);
  const words = target.words.map((word) => Buffer.from(word));
  for (let done = 0; done < runs; done += batchSize) {
    const inputs = Array.from({ length: batchSize }, () => {
      const parent = kept[random(kept.length)] ?? Buffer.alloc(0);
      return mutate(parent, kept, words, random, target.longest);
    });
    await explore(inputs);
  }
  return kept;
}
