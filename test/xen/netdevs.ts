import { type Follower, follow } from './follower.js';

/** The times at which netdevs appeared in domnet, in seconds of Xen's clock, by `ip monitor`. */
export class Netdevs {
  readonly bornAt = new Map<string, number>();
  readonly #monitor: Follower;

  constructor() {
    // With priority over everything else in domnet, so that a busy agent does not delay its own times.
    this.#monitor = follow('domnet', 'TZ=UTC chrt -f 50 ip -ts -o monitor link', (line) => {
      const [, time, deleted, name] = /^\[(\S+)\] (Deleted )?\d+: ([^:@]+)/.exec(line) ?? [];
      if (time === undefined || name === undefined) return;
      if (deleted) this.bornAt.delete(name);
      else if (!this.bornAt.has(name)) this.bornAt.set(name, Date.parse(`${time.slice(0, 23)}Z`) / 1000);
    });
  }

  close(): void {
    this.#monitor.stop();
  }
}
