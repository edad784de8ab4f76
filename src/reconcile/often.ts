/** Whether something happens too often: more than so many times in so many ms. */
export class Often {
  readonly #most: number;
  readonly #ms: number;
  #times: number[] = [];

  constructor({ most, ms }: { readonly most: number; readonly ms: number }) {
    this.#most = most;
    this.#ms = ms;
  }

  /** Notes that it happens at this time (ms of the clock). @returns whether that is too often */
  again(now: number): boolean {
    this.#times = [...this.#times.filter((at) => now - at < this.#ms), now];
    return this.#times.length > this.#most;
  }
}
