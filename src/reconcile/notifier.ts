import { isDeepStrictEqual } from 'node:util';
import type { Action } from '../model/action.js';
import { formatNetwork } from '../model/address.js';
import type { Link } from '../model/observed.js';
import type { EventDetail } from '../model/vif-event.js';
import { printAction } from '../plan/print/print.js';
import type { EventsPort, HookEvent, HooksPort } from './ports/ports.js';
import type { VifRecord } from './vif-record.js';

/** Tells people and programs what became of a vif, and only what is news. */
export class Notifier {
  readonly #events: EventsPort;
  readonly #hooks: HooksPort;

  constructor(events: EventsPort, hooks: HooksPort) {
    this.#events = events;
    this.#hooks = hooks;
  }

  /**
   * Tells that a vif is attached, or that it was and something had to be done for it: an update where something else is
   * wanted of it than before, be it by a key, the configuration or what it follows (the uplink's MTU, a default route);
   * a repair where the host had changed under it.
   * @param wanted all that is wanted of it, as data
   */
  attached(
    record: VifRecord,
    how: 'new' | 'adopt' | 'attached',
    wanted: object,
    detail: EventDetail,
    actions: readonly Action[],
  ): void {
    const changed = !isDeepStrictEqual(wanted, record.lastDesired);
    record.lastDesired = wanted;
    if (how === 'new') this.#events.tell('attached', record.id, detail);
    else if (how === 'adopt') {
      const added = actions.length > 0 ? { actions: actions.map(printAction) } : {};
      this.#events.tell('adopted', record.id, { ...detail, ...added });
    } else if (actions.length > 0) {
      const kind = changed ? 'updated' : 'repaired';
      this.#events.tell(kind, record.id, { ...detail, actions: actions.map(printAction) });
    }
  }

  /** Calls the hooks where they have not been told so yet. */
  toHooks(
    record: VifRecord,
    link: Link,
    topology: string,
    bridge: string | undefined,
    adopted: boolean,
  ): void {
    const last = record.lastHookEvent;
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
    // They were called when it was attached, or there were none: the daemon's restart is no news.
    if (adopted) return;
    if (last === undefined || !isDeepStrictEqual({ ...last, event: now.event }, now)) {
      this.#hooks.call(now);
    }
  }

  /** Tells the hooks that it is off the network, if they have been told that it was on it. */
  detached(record: VifRecord): void {
    if (record.lastHookEvent !== undefined) this.#hooks.call({ ...record.lastHookEvent, event: 'detach' });
    record.lastHookEvent = undefined;
  }
}
