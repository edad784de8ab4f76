import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseVifName } from '../model/vif-id.js';
import type { HookEvent } from '../reconcile/ports/ports.js';

/**
 * The last event of each vif that is attached, as hooks were called with it. It outlives the daemon, so that a vif which
 * goes while none runs has its `detach` when the next one starts.
 */
export class LastEvents {
  readonly #directory: string;
  readonly #events: Map<string, HookEvent>;
  readonly #unkept: (error: unknown) => void;

  /** @param unkept called where an event cannot be written, as on a full /run; then memory alone has it */
  constructor(directory: string, unkept: (error: unknown) => void) {
    this.#directory = directory;
    this.#unkept = unkept;
    this.#events = read(directory);
  }

  of(vif: string): HookEvent | undefined {
    return this.#events.get(vif);
  }

  vifs(): string[] {
    return [...this.#events.keys()];
  }

  /** Keeps an event as the last one of its vif, or none after a `detach`. */
  set(event: HookEvent): void {
    const file = join(this.#directory, `${event.vif}.json`);
    try {
      if (event.event === 'detach') {
        this.#events.delete(event.vif);
        rmSync(file, { force: true });
      } else {
        this.#events.set(event.vif, event);
        mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
        writeFileSync(`${file}.new`, JSON.stringify(event), { mode: 0o600 });
        renameSync(`${file}.new`, file);
      }
    } catch (error) {
      this.#unkept(error);
    }
  }
}

/** The events on file; what is not vifd's, or of a version that wrote others, is passed over. */
function read(directory: string): Map<string, HookEvent> {
  const events = new Map<string, HookEvent>();
  let files: string[] = [];
  try {
    files = readdirSync(directory).filter((file) => file.endsWith('.json'));
  } catch {
    // There is none before the first event.
  }
  for (const file of files) {
    const vif = file.slice(0, -'.json'.length);
    try {
      const event = JSON.parse(readFileSync(join(directory, file), 'utf8')) as HookEvent;
      if (parseVifName(vif) !== undefined && event.vif === vif && typeof event.netdev === 'string')
        events.set(vif, event);
    } catch {
      // Truncated, or gone meanwhile.
    }
  }
  return events;
}
