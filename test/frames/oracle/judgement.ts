/** What the promise says of a frame, and why. */
export interface Judgement {
  readonly passes: boolean;
  readonly because: string;
}

export const pass = (because: string): Judgement => ({ passes: true, because });
export const drop = (because: string): Judgement => ({ passes: false, because });
