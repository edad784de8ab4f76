import { setTimeout as sleep } from 'node:timers/promises';
import type { Ovsdb } from './connection.js';

/** The lock that ovs-vswitchd holds in the database as long as it runs (bridge_init in its vswitchd/bridge.c). */
const lock = ['ovs_vswitchd'];

/** Pauses in ms: before a free lock is believed, for a switch that is started anew takes it again, and between looks. */
const pauseMs = { certain: 400, look: 1000 };

/**
 * Tells whether ovs-vswitchd runs: the database does not change when it is killed, and the ports stay in it with all
 * their numbers. The lock that it holds is asked for, and given back at once where it is got.
 */
export class OpenVswitchSwitch {
  readonly #connection: Ovsdb;
  readonly #changed: (runs: boolean) => void;
  #runs = true;
  #free: (() => void) | undefined;

  /** @param changed told when it has gone, or is there again */
  constructor(connection: Ovsdb, changed: (runs: boolean) => void) {
    this.#connection = connection;
    this.#changed = changed;
  }

  /** Follows it for as long as the connection lasts. Never rejects. */
  async follow(): Promise<void> {
    try {
      for (;;) {
        if (await this.#isFree()) {
          await sleep(pauseMs.certain, undefined, { ref: false });
          this.#tell(!(await this.#isFree()));
          if (!this.#runs) await sleep(pauseMs.look, undefined, { ref: false });
        } else {
          this.#tell(true);
          await new Promise<void>((resolve) => {
            this.#free = resolve;
          });
          await this.#connection.request('unlock', lock);
        }
      }
    } catch {
      // The connection has ended, which is told elsewhere.
    }
  }

  /** The server has given us the lock that we were waiting for. */
  locked(): void {
    this.#free?.();
    this.#free = undefined;
  }

  /** Where it is not free, the request stays in the server's queue. */
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
