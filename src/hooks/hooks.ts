import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Program } from '../host/process/program.js';
import { trustedExecutable } from '../host/process/trusted-path.js';
import type { HookEvent, HooksPort } from '../reconcile/ports/ports.js';
import { LastEvents } from './last-events.js';

const timeoutMs = 10_000;
/** The most events of one vif that wait for hooks, so that a vif that flaps cannot fill the memory. */
const maxQueuedEvents = 32;
/** File names that are hooks, as run-parts(8) takes them, or with a suffix: no hidden files, no backups of editors or package managers. */
const hookName = /^[A-Za-z0-9_][A-Za-z0-9_-]*(\.(sh|py|pl|js))?$/;

export interface HookOptions {
  /** The directory of the hooks; undefined for none. Called each time, because the configuration can be reloaded. */
  readonly directory: () => string | undefined;
  /** The directory of the vifs' last events. */
  readonly stateDir: string;
  readonly log: Logger;
}

/**
 * Runs the executables in `[hooks] directory` after a vif was attached, changed or detached: for one vif one at a time,
 * in the order of events, then of file names. Nothing waits for them, and nothing depends on how they end.
 */
export class Hooks implements HooksPort {
  readonly #options: HookOptions;
  /** By vif: the last call, and how many are not finished. */
  readonly #queues = new Map<string, { last: Promise<void>; length: number }>();
  readonly #running = new Set<Program>();
  readonly #last: LastEvents;
  #closed = false;

  constructor(options: HookOptions) {
    this.#options = options;
    this.#last = new LastEvents(options.stateDir, (error) =>
      options.log.error(
        { err: error },
        'hook event not kept; a vif that goes while vifd is away has no detach',
      ),
    );
  }

  note(event: HookEvent): void {
    if (this.#options.directory() !== undefined || event.event === 'detach') this.#last.set(event);
  }

  last(vif: string): HookEvent | undefined {
    return this.#last.of(vif);
  }

  vifs(): readonly string[] {
    return this.#last.vifs();
  }

  call(event: HookEvent): void {
    this.note(event);
    if (this.#options.directory() === undefined) return;
    const queue = this.#queues.get(event.vif) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length >= maxQueuedEvents) {
      this.#options.log.warn(
        { vif: event.vif, event: event.event },
        'hooks not called: too many events wait for them',
      );
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

  /** Kills the hooks that run, and calls no more. */
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

  /** @returns why the hook failed; undefined when it succeeded */
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
