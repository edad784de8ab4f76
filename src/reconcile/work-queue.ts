import { sliceMs } from './turns.js';

/**
 * Runs at most one job a key at a time, and once more when the key was added while it ran. Any number of additions before
 * or during a run cause one run: an item says that something may have changed, never what.
 */
export class WorkQueue<Item> {
  readonly #job: (item: Item) => Promise<void>;
  readonly #keyOf: (item: Item) => string;
  readonly #waiting = new Map<string, Item>();
  readonly #running = new Set<string>();
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  /**
   * @param job must not reject: it reports its own errors
   * @param keyOf items with the same key are the same work
   */
  constructor(job: (item: Item) => Promise<void>, keyOf: (item: Item) => string) {
    this.#job = job;
    this.#keyOf = keyOf;
  }

  add(item: Item): void {
    if (this.#closed) return;
    this.#waiting.set(this.#keyOf(item), item);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // setImmediate runs after all events that arrived together, so that a burst about one key is one run.
    setImmediate(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  /** Takes an item out that waits; a running job is not affected. */
  remove(item: Item): void {
    this.#waiting.delete(this.#keyOf(item));
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    if (this.#waiting.size + this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Takes no more items, drops those that wait, and resolves when the running jobs have ended. */
  close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    return this.idle();
  }

  #start(): void {
    const end = performance.now() + sliceMs;
    for (const [key, item] of this.#waiting) {
      if (this.#running.has(key)) continue;
      // A job may begin with requests to xenstore for each of a vif's keys.
      if (performance.now() > end) {
        this.#schedule();
        return;
      }
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key, item);
    }
    if (this.#waiting.size + this.#running.size === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #run(key: string, item: Item): Promise<void> {
    await this.#job(item);
    this.#running.delete(key);
    if (!this.#scheduled) this.#start();
  }
}
