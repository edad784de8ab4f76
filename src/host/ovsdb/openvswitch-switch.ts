import { setTimeout as sleep } from 'node:timers/promises';
import type { Ovsdb } from './connection.js';

/** The lock that ovs-vswitchd holds in the database while it runs (bridge_init in its vswitchd/bridge.c). */
const lock = ['ovs_vswitchd'];

/** Pauses in ms: before a free lock counts, since a switch that is restarted takes it again, and between two requests. */
const pauseMs = { certain: 400, poll: 1000 };

/**
 * Follows whether ovs-vswitchd runs, by requesting its lock, which is given back at once where it is granted. The database
 * itself does not change when ovs-vswitchd is killed.
 */
export class OpenVswitchSwitch {
  readonly #connection: Ovsdb;
  readonly #changed: (runs: boolean) => void;
  #runs = true;
  #free: (() => void) | undefined;

  /** @param changed called when ovs-vswitchd has gone, or runs again */
  constructor(connection: Ovsdb, changed: (runs: boolean) => void) {
    this.#connection = connection;
    this.#changed = changed;
  }

  /** Follows ovs-vswitchd for as long as the connection lasts. Never rejects. */
  async follow(): Promise<void> {
    try {
      for (;;) {
        if (await this.#isFree()) {
          await sleep(pauseMs.certain, undefined, { ref: false });
          this.#tell(!(await this.#isFree()));
          if (!this.#runs) await sleep(pauseMs.poll, undefined, { ref: false });
        } else {
          this.#tell(true);
          await new Promise<void>((resolve) => {
            this.#free = resolve;
          });
          await this.#connection.request('unlock', lock);
        }
      }
    } catch {
      // The connection has ended, which its owner reports.
    }
  }

  /** The server has granted the lock that was requested. */
  locked(): void {
    this.#free?.();
    this.#free = undefined;
  }

  /** Requests the lock, and says whether it is free; where it is not, the request stays in the server's queue. */
  async #isFree(): Promise<boolean> {
    const answer = (await this.#connection.request('lock', lock)) as { locked?: boolean };
    if (answer.locked !== true) return false;
    await this.#connection.request('unlock', lock);
    return true;
  }

  #tell(runs: boolean): void {
    if (runs === this.#runs) return;
    this.#runs = runs;
    this.#changed(runs);
  }
}
