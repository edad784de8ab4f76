import type { VifId } from '../vif/id.js';
import { type ObservedState, vifOfLink } from '../vif/observed.js';
import type { Action } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { OperationError } from '../vif/problem.js';
import { type LinkListener, Links } from './links.js';

/** The machine: what is on it, and the only way to change it. */
export class Host {
  readonly #links: Links;

  private constructor(links: Links) {
    this.#links = links;
  }

  /** @param listener told of every change on the host, ours included */
  static async open(listener: LinkListener): Promise<Host> {
    return new Host(await Links.open(listener));
  }

  observe(): ObservedState {
    return { links: this.#links.view };
  }

  /** The vifs that something on the host belongs to, known to xenstore or not. */
  owned(): VifId[] {
    return [...this.#links.view.all()].map(vifOfLink).filter((id) => id !== undefined);
  }

  /** Performs one action. @throws OperationError */
  async perform(action: Action): Promise<void> {
    try {
      switch (action.kind) {
        case 'set-link':
          return await this.#links.setLink(action.index, action.changes);
        case 'delete-address':
          return await this.#links.deleteAddress(action.index, action.address);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperationError('run', printAction(action), reason, { waits: false });
    }
  }

  close(): void {
    this.#links.close();
  }
}
