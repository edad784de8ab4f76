import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Program } from '../host/process/program.js';
import { trustedExecutable } from '../host/process/trusted-path.js';
import type { HookEvent, HooksPort } from '../reconcile/ports/ports.js';

const timeoutMs = 10_000;
/** Events of one vif that may wait for hooks; a vif that flaps must not make them pile up. */
const maxQueuedEvents = 32;
/** No hidden files, none an editor or a package manager left behind. */
const hookName = /^[A-Za-z0-9_][A-Za-z0-9_-]*(\.(sh|py|pl|js))?$/;

export interface HookOptions {
  /** Where the hooks are; undefined for none. Asked each time: the configuration can be read anew. */
  readonly directory: () => string | undefined;
  readonly log: Logger;
}

/**
 * The executables in `[hooks] directory`, called after a vif was attached, changed or detached; those of one vif one
 * after another, in the order of events and then of their names. Nothing waits for them, and nothing depends on how
 * they end.
 */
export class Hooks implements HooksPort {
  readonly #options: HookOptions;
  /** By vif: what is under way, and how much waits for that. */
  readonly #queues = new Map<string, { last: Promise<void>; length: number }>();
  readonly #running = new Set<Program>();
  #closed = false;

  constructor(options: HookOptions) {
    this.#options = options;
  }

  call(event: HookEvent): void {
    if (this.#options.directory() === undefined) return;
    const queue = this.#queues.get(event.vif) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= maxQueuedEvents) {
      this.#options.log.warn({ vif: event.vif, event: event.event }, 'hooks not called: too many wait');
      return;
    }
    this.#queues.set(event.vif, queue);
    queue.length++;
    queue.last = queue.last
      .then(() => this.#callAll(event))
      .catch((error: Error) =>
        this.#options.log.warn(
          { vif: event.vif, event: event.event, error: error.message },
          'hooks not called',
        ),
      )
      .then(() => {
        if (--queue.length === 0) this.#queues.delete(event.vif);
      });
  }

  /** Ends what runs. */
  close(): void {
    this.#closed = true;
    for (const program of this.#running) program.kill('vifd stopped');
  }

  async #callAll(event: HookEvent): Promise<void> {
    const directory = this.#options.directory();
    if (directory === undefined) return;
    const names = (await readdir(directory)).filter((name) => hookName.test(name)).sort();
    for (const name of names) {
      if (this.#closed) return;
      const error = await this.#callOne(join(directory, name), directory, event);
      if (error === undefined) continue;
      this.#options.log.warn({ vif: event.vif, event: event.event, hook: name, error }, 'hook failed');
    }
  }

  /** @returns what went wrong */
  async #callOne(path: string, directory: string, event: HookEvent): Promise<string | undefined> {
    let file: string;
    try {
      file = await trustedExecutable(path, [directory]);
    } catch (error) {
      return (error as Error).message;
    }
    const program = new Program(file, {
      input: `${JSON.stringify(event)}\n`,
      timeoutMs,
      line: (line) =>
        this.#options.log.info({ vif: event.vif, event: event.event, hook: path, line }, 'hook output'),
    });
    this.#running.add(program);
    const error = await program.ended;
    this.#running.delete(program);
    return error;
  }
}
