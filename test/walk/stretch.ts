import { availableParallelism, loadavg } from 'node:os';

/** How many times longer everything takes where others want the processors too: 1 on a machine that has nothing else to do. */
export const stretch = (): number => Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
