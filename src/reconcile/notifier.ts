import { isDeepStrictEqual } from 'node:util';
import type { Action } from '../model/action.js';
import { formatNetwork } from '../model/address.js';
import type { Link } from '../model/observed.js';
import type { EventDetail } from '../model/vif-event.js';
import { printAction } from '../plan/print/print.js';
import type { EventsPort, HookEvent, HooksPort } from './ports/ports.js';
import type { LastDesired, VifRecord } from './vif-record.js';

/** Announces changes of a vif's state as events and to the hooks; a state that was announced is not announced again. */
export class Notifier {
  readonly #events: EventsPort;
  readonly #hooks: HooksPort;

  constructor(events: EventsPort, hooks: HooksPort) {
    this.#events = events;
    this.#hooks = hooks;
  }

  /**
   * Announces that a vif is attached or adopted, or that an attached one was changed: `updated` where its desired state
   * differs from the last one (by a key, the configuration, or what it follows, such as the uplink's MTU), else
   * `repaired`.
   */
  attached(
    record: VifRecord,
    how: 'new' | 'adopt' | 'attached',
    desired: LastDesired,
    detail: EventDetail,
    actions: readonly Action[],
  ): void {
    const changed = !isDeepStrictEqual(desired, record.lastDesired);
    record.lastDesired = desired;
    if (how === 'new') this.#events.tell('attached', record.id, detail);
    else if (how === 'adopt') {
      const added = actions.length > 0 ? { actions: actions.map(printAction) } : {};
      this.#events.tell('adopted', record.id, { ...detail, ...added });
    } else if (actions.length > 0) {
      const kind = changed ? 'updated' : 'repaired';
      this.#events.tell(kind, record.id, { ...detail, actions: actions.map(printAction) });
    }
  }

  /** Calls the hooks with `attach` or `update`, where this differs from the last event they were called with. */
  callHooks(
    record: VifRecord,
    link: Link,
    topology: string,
    bridge: string | undefined,
    adopted: boolean,
  ): void {
    const last = this.#lastEvent(record);
    const now: HookEvent = {
      event: last === undefined ? 'attach' : 'update',
      vif: record.name,
      ...record.id,
      mac: record.snapshot?.mac ?? null,
      ip: record.snapshot?.ip.map(formatNetwork) ?? [],
      bridge: bridge ?? null,
      topology,
      netdev: link.name,
      mtu: link.mtu,
    };
    record.lastHookEvent = now;
    // Hooks were called when it was attached, or there were none: a restart of the daemon is no event.
    if (adopted) this.#hooks.note(now);
    else if (last === undefined || !isDeepStrictEqual({ ...last, event: now.event }, now)) {
      this.#hooks.call(now);
    }
  }

  /** The event that hooks were called with last; before that, `detach` where an earlier daemon's was of another guest's vif. */
  #lastEvent(record: VifRecord): HookEvent | undefined {
    const { lastHookEvent, snapshot, name } = record;
    if (lastHookEvent !== undefined) return lastHookEvent;
    const earlier = this.#hooks.last(name);
    if (earlier === undefined || earlier.mac === (snapshot?.mac ?? null)) return earlier;
    this.detached(record);
    return undefined;
  }

  /** Calls the hooks with `detach`, where they were called with `attach` before, by this daemon or an earlier one. */
  detached(record: VifRecord): void {
    const last = record.lastHookEvent ?? this.#hooks.last(record.name);
    if (last !== undefined) this.#hooks.call({ ...last, event: 'detach' });
    record.lastHookEvent = undefined;
  }
}
