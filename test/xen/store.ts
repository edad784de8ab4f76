import { type Follower, follow } from './follower.js';

/**
 * One change of a path in xenstore; `value` is undefined when it went away, or was not asked for. Times are seconds of
 * Xen's clock.
 */
export interface StoreEvent {
  readonly at: number;
  readonly path: string;
  readonly value: string | undefined;
}

/**
 * The vif directories in xenstore, backends and frontends of all domains, with their history, as read in dom0. It has
 * only the keys that `xenstore-events` reads.
 */
export class Store {
  readonly events: StoreEvent[] = [];
  readonly #values = new Map<string, string>();
  readonly #watcher: Follower;

  constructor() {
    this.#watcher = follow('dom0', 'xenstore-events', (line) => {
      const { at, path, value } = JSON.parse(line) as { at: number; path: string; value?: string | null };
      this.events.push({ at, path, value: value ?? undefined });
      if (typeof value === 'string') this.#values.set(path, value);
      else if (value === null) for (const key of this.under(path)) this.#values.delete(key);
    });
  }

  get(path: string): string | undefined {
    return this.#values.get(path);
  }

  /** The path and all below it. */
  under(path: string): string[] {
    return [...this.#values.keys()].filter((key) => key === path || key.startsWith(`${path}/`));
  }

  close(): void {
    this.#watcher.stop();
  }
}
