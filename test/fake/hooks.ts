import type { HookEvent, HooksPort } from '../../src/reconcile/ports/ports.js';

/** Keeps the events that hooks were called with, in order. */
export class FakeHooks implements HooksPort {
  readonly calls: HookEvent[] = [];
  /** Outlives a daemon. */
  readonly lastEvents = new Map<string, HookEvent>();

  call(event: HookEvent): void {
    this.note(event);
    this.calls.push(event);
  }

  note(event: HookEvent): void {
    if (event.event === 'detach') this.lastEvents.delete(event.vif);
    else this.lastEvents.set(event.vif, event);
  }

  last(vif: string): HookEvent | undefined {
    return this.lastEvents.get(vif);
  }

  vifs(): readonly string[] {
    return [...this.lastEvents.keys()];
  }

  /** The events that hooks were called with for one vif. */
  of(vif: string): HookEvent['event'][] {
    return this.calls.filter((call) => call.vif === vif).map(({ event }) => event);
  }
}
