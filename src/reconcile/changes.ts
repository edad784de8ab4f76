import type { Logger } from 'pino';
import type { Host } from '../host/host.js';
import { type Action, plan } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { ChangedMeanwhile } from '../vif/problem.js';
import { fields, type VifRecord } from './vif-record.js';

/** What is done to the host for a vif. */
export class Changes {
  readonly #host: Host;
  readonly #log: Logger;

  constructor(host: Host, log: Logger) {
    this.#host = host;
    this.#log = log;
  }

  /** Performs a plan, up to the first error. @throws OperationError */
  async perform(record: VifRecord, actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      this.#log.debug({ ...fields(record), action: printAction(action) }, 'host change');
      await this.#host.perform(action);
    }
  }

  /** What a plan says once the script before it has been undone, which nobody can know the doings of. */
  async undoScript(record: VifRecord, look: () => Action[]): Promise<Action[]> {
    const actions = look();
    if (actions[0]?.kind !== 'undo-script') return actions;
    await this.perform(record, actions.slice(0, 1));
    return look();
  }

  /** Takes off the host what is there for a vif. netback may take the netdev away meanwhile, and then less is left. */
  async withdraw(record: VifRecord): Promise<void> {
    const look = (): Action[] => plan(record.id, undefined, this.#host.observe());
    try {
      await this.perform(record, look());
    } catch (error) {
      const there = this.#host.observe().links.ofVif(record.id) !== undefined;
      if (there && !(error instanceof ChangedMeanwhile)) throw error;
      await this.perform(record, look());
    }
    // Of two that go at once neither was the last in a table when it was planned.
    await this.perform(
      record,
      look().filter(({ kind }) => kind === 'nft'),
    );
  }
}
