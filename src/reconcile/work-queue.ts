/**
 * Runs one job a key at a time, and again when the key was added meanwhile. Any number of additions before a run, or
 * during one, fold into one: a key says that something may have changed, never what.
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
   * @param job must not reject: what goes wrong with one item is for the job to tell
   * @param keyOf items of one key are one
   */
  constructor(job: (item: Item) => Promise<void>, keyOf: (item: Item) => string) {
    this.#job = job;
    this.#keyOf = keyOf;
  }

  add(item: Item): void {
    if (this.#closed) return;
    this.#waiting.set(this.#keyOf(item), item);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After all events that have arrived together, so that a burst about one key is one run.
    setImmediate(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  /** Takes back what was added since, because the run under way has answered it. */
  remove(item: Item): void {
    this.#waiting.delete(this.#keyOf(item));
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    if (this.#waiting.size + this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Takes no more, forgets what waits, and resolves when the running jobs have ended. */
  close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    return this.idle();
  }

  #start(): void {
    for (const [key, item] of this.#waiting) {
      if (this.#running.has(key)) continue;
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
    this.#start();
  }
}
