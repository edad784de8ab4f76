import type { Clock } from './ports/ports.js';

/** The shortest and the longest pause between two resyncs, in ms: a change that was not announced lasts a minute at most. */
const pauseMs = { least: 45_000, most: 60_000 };

/**
 * Calls back again and again, at random intervals: the kernel announces proxy entries and most sysctls to no socket, so they
 * are read again. The pauses are random so that the driver domains of a host do not all resync at the same moment.
 */
export class PeriodicResync {
  readonly #resync: () => Promise<void>;
  readonly #clock: Clock;
  readonly #random: () => number;
  #cancel: () => void = () => undefined;
  #stopped = false;

  /**
   * @param resync must not reject
   * @param random numbers from 0 up to 1
   */
  constructor(resync: () => Promise<void>, clock: Clock, random: () => number) {
    this.#resync = resync;
    this.#clock = clock;
    this.#random = random;
    this.#pause();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #pause(): void {
    if (this.#stopped) return;
    const ms = pauseMs.least + this.#random() * (pauseMs.most - pauseMs.least);
    this.#cancel = this.#clock.after(ms, () => void this.#resync().then(() => this.#pause()));
  }
}
