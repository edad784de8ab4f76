import type { Logger } from 'pino';
import type { Action } from '../model/action.js';
import { asOperationError, ChangedMeanwhile, type OperationError } from '../model/operation-error.js';
import { type HeldTo, isolate } from '../plan/plan.js';
import { printAction } from '../plan/print/print.js';
import type { Step } from './next.js';
import type { HostPort } from './ports/ports.js';
import { fields, type VifRecord } from './vif-record.js';

/** The result of performing actions: those done, and the one that failed, after which none was begun. */
export interface Performed {
  readonly done: readonly Action[];
  readonly failed?: { readonly action: Action; readonly error: unknown };
}

/** Performs the actions of a step on the host, each logged at "debug" as a command. */
export class PlanExecutor {
  readonly #host: HostPort;
  readonly #log: Logger;

  constructor(host: HostPort, log: Logger) {
    this.#host = host;
    this.#log = log;
  }

  /** Performs actions in order, up to the first that fails. Never rejects. */
  async perform(record: VifRecord, actions: readonly Action[]): Promise<Performed> {
    const done: Action[] = [];
    for (const action of actions) {
      if (this.#log.isLevelEnabled('debug'))
        this.#log.debug({ ...fields(record), action: printAction(action) }, 'host change');
      try {
        await this.#host.perform(action);
      } catch (error) {
        return { done, failed: { action, error } };
      }
      done.push(action);
    }
    return { done };
  }

  /**
   * Performs all of the actions that take a vif off the network, also after one that fails.
   * @returns the first error
   */
  async performAll(record: VifRecord, actions: readonly Action[]): Promise<OperationError | undefined> {
    let first: OperationError | undefined;
    for (const action of actions) {
      const { failed } = await this.perform(record, [action]);
      // The machine changed since the plan was made; the next step plans anew.
      if (failed === undefined || failed.error instanceof ChangedMeanwhile) continue;
      first ??= asOperationError(failed.error, 'internal', 'run', printAction(action));
    }
    return first;
  }

  /**
   * Takes a vif off the network whose filter could not be installed.
   * @returns what was done; nothing where the filter is in place
   * @throws OperationError
   */
  async isolate(record: VifRecord, { verdict }: Step): Promise<Action[]> {
    const name = verdict.kind === 'attach' ? verdict.desired.name : undefined;
    const held: Partial<HeldTo> =
      verdict.kind === 'attach' ? verdict.desired : verdict.kind === 'script' ? verdict : {};
    const actions = isolate(record.id, held.filter, this.#host.observe(), name, held.blocked);
    const { failed } = await this.perform(record, actions);
    if (failed !== undefined) throw failed.error;
    return actions;
  }
}
