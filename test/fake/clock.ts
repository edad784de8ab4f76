import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/reconcile/ports/ports.js';

/** A clock that stands still until a test turns it; timers that are due run in order then, each at its own time. */
export class FakeClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly run: () => void }[] = [];
  readonly #settled: () => Promise<void>;

  /** @param settled resolves when everything that a timer started has ended */
  constructor(settled: () => Promise<void> = async () => void (await turn())) {
    this.#settled = settled;
  }

  now(): number {
    return this.#now;
  }

  /** The first moment of 2026, and from there on with the clock. */
  date(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#now);
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    // Timers for one moment run in the order in which they were set, as Node's do.
    const later = this.#timers.findIndex(({ at }) => at > timer.at);
    this.#timers.splice(later < 0 ? this.#timers.length : later, 0, timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Turns the clock by so many ms. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.#settled();
    for (;;) {
      const at = this.#timers[0]?.at;
      if (at === undefined || at > end) break;
      this.#now = at;
      // Timers for one moment run together, as Node's do, before anything that they start.
      for (let next = this.#timers[0]; next?.at === at; next = this.#timers[0]) {
        this.#timers.shift();
        next.run();
      }
      await this.#settled();
    }
    this.#now = end;
  }
}
