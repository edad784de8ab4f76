import type { EventDetail, EventKind } from '../../src/model/vif-event.js';
import { type VifId, vifName } from '../../src/model/vif-id.js';
import type { EventsPort } from '../../src/reconcile/ports/ports.js';

/** Keeps the events, in order. */
export class FakeEvents implements EventsPort {
  readonly all: ({ readonly kind: EventKind; readonly vif: string } & EventDetail)[] = [];

  tell(kind: EventKind, id: VifId, detail: EventDetail = {}): void {
    this.all.push({ kind, vif: vifName(id), ...detail });
  }

  /** The kinds of the events of one vif, in order. */
  of(vif: string): EventKind[] {
    return this.all.filter((event) => event.vif === vif).map(({ kind }) => kind);
  }

  /** The last event of one vif. */
  last(vif: string): (EventDetail & { readonly kind: EventKind }) | undefined {
    return this.all.findLast((event) => event.vif === vif);
  }
}
