import { setTimeout as sleep } from 'node:timers/promises';
import type { Ovsdb } from './connection.js';

/** The lock that ovs-vswitchd holds in the database while it runs (bridge_init in its vswitchd/bridge.c). */
const lock = ['ovs_vswitchd'];

/** Pauses in ms: before a free lock counts, since a switch that is restarted takes it again, and between two requests. */
const pauseMs = { certain: 400, poll: 1000 };

/** How long an ovs-vswitchd may take to find a database that was restarted, in ms; it doubles its pauses up to 8 s. */
const graceMs = 10_000;

/**
 * Follows whether ovs-vswitchd runs, by requesting its lock, which is given back at once where it is granted. The database
 * itself does not change when ovs-vswitchd is killed.
 */
export class OpenVswitchSwitch {
  readonly #connection: Ovsdb;
  readonly #changed: (runs: boolean) => void;
  readonly #found: (isAnew: boolean) => void;
  #runs = true;
  /** Whether it has the lock now, so that it puts a configuration into effect soon. It may run and not have it. */
  follows = true;
  #granted: (() => void) | undefined;

  /**
   * @param changed called when ovs-vswitchd has gone, or runs again
   * @param found called each time that it is seen to have the lock, `isAnew` after it was seen not to have it
   */
  constructor(connection: Ovsdb, changed: (runs: boolean) => void, found: (isAnew: boolean) => void) {
    this.#connection = connection;
    this.#changed = changed;
    this.#found = found;
  }

  /** Follows ovs-vswitchd for as long as the connection lasts. Never rejects. */
  async follow(): Promise<void> {
    try {
      const begun = performance.now();
      for (let free = 0, wasHeld = false; ; ) {
        const granted = new Promise<void>((resolve) => {
          this.#granted = resolve;
        });
        const isFree = await this.#lock();
        const isAnew = !isFree && !this.follows;
        this.follows = !isFree;
        if (!isFree) {
          // The request stays in the server's queue until ovs-vswitchd ends; a second one would be an error.
          free = 0;
          wasHeld = true;
          this.#tell(true);
          this.#found(isAnew);
          await granted;
          this.follows = false;
        }
        await this.#connection.request('unlock', lock);
        free++;
        // An ovs-vswitchd that is started anew takes it within a moment, one whose database was away within a while.
        if (free > 1 && (wasHeld || performance.now() - begun > graceMs)) this.#tell(false);
        await sleep(free > 1 ? pauseMs.poll : pauseMs.certain, undefined, { ref: false });
      }
    } catch {
      // The connection has ended, which its owner reports.
    }
  }

  /** The server has granted the lock that was requested. */
  locked(): void {
    this.#granted?.();
  }

  /** Requests the lock. @returns whether it is granted at once */
  async #lock(): Promise<boolean> {
    const answer = (await this.#connection.request('lock', lock)) as { locked?: boolean };
    return answer.locked === true;
  }

  #tell(runs: boolean): void {
    if (runs === this.#runs) return;
    this.#runs = runs;
    this.#changed(runs);
  }
}
