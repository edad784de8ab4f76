import type { Clock } from './ports/ports.js';

/** The shortest and the longest pause between two rounds, in ms: what happened unseen is right again within a minute. */
const pauseMs = { least: 45_000, most: 60_000 };

/**
 * Has everything looked at from time to time, whether or not anything was told: the kernel does not announce all that
 * others can change. The pauses differ, so that the driver domains of a host do not all do it at the same moment.
 */
export class PeriodicResync {
  readonly #go: () => Promise<void>;
  readonly #clock: Clock;
  #cancel: () => void = () => undefined;
  #stopped = false;

  /** @param go one round; must not reject */
  constructor(go: () => Promise<void>, clock: Clock) {
    this.#go = go;
    this.#clock = clock;
    this.#pause();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #pause(): void {
    if (this.#stopped) return;
    const ms = pauseMs.least + Math.random() * (pauseMs.most - pauseMs.least);
    this.#cancel = this.#clock.after(ms, () => void this.#go().then(() => this.#pause()));
  }
}
