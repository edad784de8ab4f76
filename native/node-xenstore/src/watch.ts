import type { XenstoreError } from './error.js';

export interface WatchEvent {
  /** The path that changed: the watched one or one below it; relative when the watched path is. */
  path: string;
  /** The watch's own token. */
  token: string;
}

/**
 * The changes at a path and below: `for await (const { path } of watch)`.
 *
 * xenstored fires each new watch at once, so the first event says only that it is in place: look then. An event says
 * where something changed, never what. Events wait here, in any number, until they are taken, by one loop at a time;
 * leaving the loop leaves the watch in place. The loop ends with `close`, and throws ENOTCONN, after the events which
 * came before, when the connection is lost.
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

  /** Removes the watch; events not yet taken are dropped. */
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

  /** @internal No more events: the loop throws the error, if there is one, or ends. */
  finish(error?: XenstoreError): void {
    this.#end ??= error ? { error } : {};
    this.#wake();
  }
}
