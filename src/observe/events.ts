import type { Logger } from 'pino';
import type { EventDetail, EventKind } from '../model/vif-event.js';
import { type VifId, vifName } from '../model/vif-id.js';
import type { EventsPort } from '../reconcile/ports/ports.js';

/** The constant message of each kind's log line, and the level it is worth. */
export const eventKinds: Readonly<Record<EventKind, { message: string; level: 'info' | 'warn' }>> = {
  attached: { message: 'vif attached', level: 'info' },
  adopted: { message: 'vif adopted', level: 'info' },
  repaired: { message: 'vif repaired', level: 'warn' },
  updated: { message: 'vif updated', level: 'info' },
  degraded: { message: 'vif degraded', level: 'warn' },
  recovered: { message: 'vif no longer degraded', level: 'info' },
  failed: { message: 'vif not attached', level: 'warn' },
  removed: { message: 'vif removed', level: 'info' },
};

export interface VifEvent extends EventDetail {
  /** ISO 8601. */
  readonly time: string;
  readonly kind: EventKind;
  readonly vif: string;
  readonly domid: number;
  readonly devid: number;
}

/** What a vif was attached to (or adopted on), in words: `to bridge xenbr0`, `(nat)`; empty when that is not known. */
export function where(
  { topology, bridge }: Pick<EventDetail, 'topology' | 'bridge'>,
  to: 'to' | 'on' = 'to',
): string {
  if (bridge === undefined) return topology === undefined ? '' : `(${topology})`;
  // A script is what attaches, not what is attached to.
  return topology === 'script'
    ? `${to} bridge ${bridge} (script)`
    : `${to} ${topology ?? 'bridge'} ${bridge}`;
}

/** How much is kept: events a vif, and vifs, the oldest going first. */
const historyLimits = { events: 32, vifs: 1024 };

/** A vif may write this many lines in this many ms; a guest that flaps must not drown the others. */
const logRate = { lines: 20, ms: 10_000 };

interface History {
  readonly events: VifEvent[];
  /** When the current span of counting began, and the lines written and left out in it. */
  since: number;
  written: number;
  left: number;
}

/** What happened to each vif: told to the log, kept for `vifd events`, and passed on to those who follow. */
export class Events implements EventsPort {
  readonly #log: Logger;
  readonly #histories = new Map<string, History>();
  readonly #followers = new Set<(event: VifEvent) => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  tell(kind: EventKind, id: VifId, detail: EventDetail = {}): void {
    const event: VifEvent = { time: new Date().toISOString(), kind, vif: vifName(id), ...id, ...detail };
    const history = this.#historyOf(event.vif);
    history.events.push(event);
    if (history.events.length > historyLimits.events) history.events.shift();
    this.#write(event, history);
    for (const follower of this.#followers) follower(event);
  }

  /** The events kept of one vif, or of all, oldest first. */
  recent(vif?: string): VifEvent[] {
    const histories = vif === undefined ? [...this.#histories.values()] : [this.#histories.get(vif)];
    return histories
      .flatMap((history) => history?.events ?? [])
      .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  }

  /** Calls back with every event from now on. @returns what ends it */
  follow(follower: (event: VifEvent) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #historyOf(vif: string): History {
    const history = this.#histories.get(vif) ?? { events: [], since: 0, written: 0, left: 0 };
    // Deleted and set again: a Map keeps the order of insertion, so the first is the one unheard of for longest.
    this.#histories.delete(vif);
    this.#histories.set(vif, history);
    const [oldest] = this.#histories.keys();
    if (this.#histories.size > historyLimits.vifs && oldest !== undefined) this.#histories.delete(oldest);
    return history;
  }

  #write({ kind, time: _, ...fields }: VifEvent, history: History): void {
    const now = performance.now();
    const leftOut = history.left;
    if (now - history.since > logRate.ms) Object.assign(history, { since: now, written: 0, left: 0 });
    if (++history.written > logRate.lines) {
      history.left++;
      return;
    }
    const { message, level } = eventKinds[kind];
    this.#log[level]({ ...fields, ...(history.left === 0 && leftOut > 0 ? { leftOut } : {}) }, message);
  }
}
