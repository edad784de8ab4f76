import { decode } from './decode.js';
import type { Judgement } from './oracle/judgement.js';

/** A frame of which the kernel and the promise say different things. */
export interface Difference {
  readonly frame: Buffer;
  readonly kernel: boolean;
  readonly promise: Judgement;
}

/** A difference in words, with the frame to replay. */
export const told = ({ frame, kernel, promise }: Difference): string =>
  [
    `the kernel ${kernel ? 'passes' : 'drops'} what should ${promise.passes ? 'pass' : 'be dropped'}: ${promise.because}`,
    `  ${decode(frame)}`,
    `  ${frame.toString('hex')}`,
  ].join('\n');
