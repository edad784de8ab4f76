import type { Logger } from 'pino';
import type { ErrorCode, ErrorKind } from '../model/error-codes.js';
import type { Problem } from '../model/operation-error.js';
import type { EventDetail, EventKind } from '../model/vif-event.js';
import { type VifId, vifName } from '../model/vif-id.js';
import type { EventsPort } from '../reconcile/ports/ports.js';

/** The constant message and the level of the log line of each kind of event. */
export const eventKinds: Readonly<Record<EventKind, { message: string; level: 'info' | 'warn' }>> = {
  attached: { message: 'vif attached', level: 'info' },
  adopted: { message: 'vif adopted', level: 'info' },
  repaired: { message: 'vif repaired', level: 'warn' },
  updated: { message: 'vif updated', level: 'info' },
  degraded: { message: 'vif degraded', level: 'warn' },
  recovered: { message: 'vif no longer degraded', level: 'info' },
  failed: { message: 'vif not attached', level: 'warn' },
  removed: { message: 'vif removed', level: 'info' },
  blocked: { message: 'vif blocked', level: 'warn' },
  allowed: { message: 'vif allowed', level: 'warn' },
};

export interface VifEvent extends EventDetail {
  /** ISO 8601. */
  readonly time: string;
  readonly kind: EventKind;
  readonly vif: string;
  readonly domid: number;
  readonly devid: number;
}

/** What a vif was attached to (or adopted on) as text: `to bridge xenbr0`, `(nat)`; empty when that is not known. */
export function where(
  { topology, bridge }: Pick<EventDetail, 'topology' | 'bridge'>,
  to: 'to' | 'on' = 'to',
): string {
  if (bridge === undefined) return topology === undefined ? '' : `(${topology})`;
  // "script" names what attached the vif, not what it is attached to.
  return topology === 'script'
    ? `${to} bridge ${bridge} (script)`
    : `${to} ${topology ?? 'bridge'} ${bridge}`;
}

/** The most events kept of a vif, and the most vifs; the oldest are dropped. */
const historyLimits = { events: 32, vifs: 1024 };

/** The most log lines of a vif in this many ms, so that a guest whose vif flaps cannot flood the log. */
const logRate = { lines: 20, ms: 10_000 };

interface History {
  readonly events: VifEvent[];
  /** Start of the current span of `logRate.ms`, and the lines written and left out in it. */
  since: number;
  written: number;
  left: number;
}

/** The codes and the kinds of errors, each once. */
const codesOf = (problems: readonly Problem[]): { errorCode: ErrorCode[]; errorKind: ErrorKind[] } => ({
  errorCode: [...new Set(problems.map(({ code }) => code))],
  errorKind: [...new Set(problems.map(({ kind }) => kind))],
});

/** The events of each vif: logged, kept for `vifd events`, and passed on to followers. */
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

  /** Calls back with every event from now on. @returns a function that ends it */
  follow(follower: (event: VifEvent) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #historyOf(vif: string): History {
    const history = this.#histories.get(vif) ?? { events: [], since: 0, written: 0, left: 0 };
    // A Map keeps the order of insertion: deleted and set again, the first is the one without events for longest.
    this.#histories.delete(vif);
    this.#histories.set(vif, history);
    const [oldest] = this.#histories.keys();
    if (this.#histories.size > historyLimits.vifs && oldest !== undefined) this.#histories.delete(oldest);
    return history;
  }

  #write({ kind, time: _, problems, ...fields }: VifEvent, history: History): void {
    const now = performance.now();
    const leftOut = history.left;
    if (now - history.since > logRate.ms) Object.assign(history, { since: now, written: 0, left: 0 });
    if (++history.written > logRate.lines) {
      history.left++;
      return;
    }
    const { message, level } = eventKinds[kind];
    const all = { ...fields, ...(problems && codesOf(problems)) };
    this.#log[level]({ ...all, ...(history.left === 0 && leftOut > 0 ? { leftOut } : {}) }, message);
  }
}
