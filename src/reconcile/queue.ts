/**
 * Runs one job a key at a time, and again when the key was added meanwhile. Any number of additions before a run, or
 * during one, fold into one: a key says that something may have changed, never what.
 */
export class WorkQueue {
  readonly #job: (key: string) => Promise<void>;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  /** @param job must not reject: what goes wrong with one key is for the job to tell */
  constructor(job: (key: string) => Promise<void>) {
    this.#job = job;
  }

  add(key: string): void {
    if (this.#closed) return;
    this.#waiting.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After all events that have arrived together, so that a burst about one key is one run.
    setImmediate(() => {
      this.#scheduled = false;
      this.#start();
    });
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
    for (const key of this.#waiting) {
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
    if (this.#waiting.size + this.#running.size === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #run(key: string): Promise<void> {
    await this.#job(key);
    this.#running.delete(key);
    this.#start();
  }
}
