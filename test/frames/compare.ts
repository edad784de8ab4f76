import type { Random } from '../walk/random.js';
import type { Difference } from './difference.js';
import { randomFrame } from './grammar/frame.js';
import type { Surroundings } from './grammar/values.js';
import { judge } from './oracle/ethernet.js';
import type { Judgement } from './oracle/judgement.js';

/** Which of these frames a filter lets pass. */
export type Kernel = (frames: readonly Buffer[]) => Promise<boolean[]>;

/** What was compared, and how often each sentence of the promise was what decided. */
export interface Tally {
  frames: number;
  passed: number;
  readonly because: Map<string, number>;
}

const batch = 500;

/** Compares the kernel with the promise over random frames. @returns the frames in which they differ, of all batches */
export async function compareRandom(
  random: Random,
  count: number,
  around: Surroundings,
  kernel: Kernel,
  tally: Tally,
): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (let left = count; left > 0; left -= batch) {
    const frames = Array.from({ length: Math.min(left, batch) }, () => randomFrame(random, around));
    const judged = frames.map((frame) => judge(frame, around.guest));
    for (const judgement of judged) count1(tally, judgement);
    differences.push(...differing(frames, judged, await kernel(frames)));
  }
  return differences;
}

/** The frames in which the kernel and the promise differ. */
export async function compare(
  frames: readonly Buffer[],
  { guest }: Surroundings,
  kernel: Kernel,
): Promise<Difference[]> {
  const judged = frames.map((frame) => judge(frame, guest));
  return differing(frames, judged, await kernel(frames));
}

const differing = (
  frames: readonly Buffer[],
  judged: readonly Judgement[],
  passed: readonly boolean[],
): Difference[] =>
  frames.flatMap((frame, i) => {
    const [promise, kernel] = [judged[i] as Judgement, passed[i] === true];
    return promise.passes === kernel ? [] : [{ frame, kernel, promise }];
  });

function count1(tally: Tally, { passes, because }: Judgement): void {
  tally.frames++;
  if (passes) tally.passed++;
  tally.because.set(because, (tally.because.get(because) ?? 0) + 1);
}
