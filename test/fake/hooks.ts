import type { HookEvent, HooksPort } from '../../src/reconcile/ports/ports.js';

/** Keeps the events that hooks were called with, in order. */
export class FakeHooks implements HooksPort {
  readonly calls: HookEvent[] = [];

  call(event: HookEvent): void {
    this.calls.push(event);
  }

  /** The events that hooks were called with for one vif. */
  of(vif: string): HookEvent['event'][] {
    return this.calls.filter((call) => call.vif === vif).map(({ event }) => event);
  }
}
