import type { EventDetail, EventKind } from '../../src/model/vif-event.js';
import { type VifId, vifName } from '../../src/model/vif-id.js';
import type { EventsPort } from '../../src/reconcile/ports/ports.js';

/** Keeps what was told, in order. */
export class FakeEvents implements EventsPort {
  readonly all: ({ readonly kind: EventKind; readonly vif: string } & EventDetail)[] = [];

  tell(kind: EventKind, id: VifId, detail: EventDetail = {}): void {
    this.all.push({ kind, vif: vifName(id), ...detail });
  }

  /** The kinds of what was told of one vif. */
  of(vif: string): EventKind[] {
    return this.all.filter((event) => event.vif === vif).map(({ kind }) => kind);
  }

  /** What was told last of one vif. */
  last(vif: string): (EventDetail & { readonly kind: EventKind }) | undefined {
    return this.all.findLast((event) => event.vif === vif);
  }
}
