import type { XenstoreError } from './error.js';

export interface WatchEvent {
  /** The path that changed: the watched one or one below it; relative when the watched path is. */
  path: string;
  /** The watch's own token. */
  token: string;
}

/**
 * The changes at a path and below, as an iterable: `for await (const { path } of watch)`.
 *
 * xenstored fires each new watch at once, so the first event only says that the watch is in place; read the nodes then.
 * An event names the path that changed, not the change. Events are queued without limit until one loop at a time consumes
 * them; leaving the loop keeps the watch. The loop ends after `close`, and throws ENOTCONN after the last event when the
 * connection is lost.
 */
export class Watch implements AsyncIterable<WatchEvent> {
  readonly path: string;
  readonly token: string;
  readonly #remove: () => Promise<void>;
  #events: WatchEvent[] = [];
  #wake: () => void = () => {};
  #end: { error?: XenstoreError } | undefined;

  /** Made by Xenstore.watch. */
  constructor(path: string, token: string, remove: () => Promise<void>) {
    this.path = path;
    this.token = token;
    this.#remove = remove;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void, undefined> {
    for (;;) {
      const event = this.#events.shift();
      if (event) {
        yield event;
      } else if (this.#end) {
        if (this.#end.error) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Removes the watch; queued events are dropped. */
  async close(): Promise<void> {
    if (this.#end) return;
    this.#events = [];
    this.finish();
    await this.#remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  push(path: string): void {
    this.#events.push({ path, token: this.token });
    this.#wake();
  }

  /** @internal Ends the loop after the queued events, by throwing the error if there is one. */
  finish(error?: XenstoreError): void {
    this.#end ??= error ? { error } : {};
    this.#wake();
  }
}
