import { setImmediate as nextTurn } from 'node:timers/promises';

/** After so many ms of work that begins the event loop has its turn. */
export const sliceMs = 2;

/**
 * Lets work begin until a slice of time is over, and the rest of it in the next turns of the event loop, in the order in which it
 * was asked for: the keys of hundreds of vifs may have been read when the loop comes to look, and each look takes a part of a ms.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #isLetting = false;
  /** When the slice of this turn of the loop is over, in ms of performance.now(); undefined before the first work of a turn. */
  #end: number | undefined;

  /** Resolves when work may begin, which should be done until the next promise that is waited for. */
  take(): Promise<void> {
    const turn = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (!this.#isLetting) void this.#let();
    return turn;
  }

  async #let(): Promise<void> {
    this.#isLetting = true;
    for (let begin = this.#waiting.shift(); begin !== undefined; begin = this.#waiting.shift()) {
      if (this.#end === undefined) this.#beginSlice();
      else if (performance.now() >= this.#end) {
        await nextTurn();
        this.#beginSlice();
      }
      begin();
      // What was let begin goes first.
      await undefined;
    }
    this.#isLetting = false;
  }

  #beginSlice(): void {
    const end = performance.now() + sliceMs;
    this.#end = end;
    setImmediate(() => {
      if (this.#end === end) this.#end = undefined;
    });
  }
}
