import type { Logger } from 'pino';
import { heldTo } from '../decide/holding.js';
import type { Action } from '../model/action.js';
import type { VifPolicy } from '../model/policy.js';
import type { Step } from './next.js';
import type { Notifier } from './notifier.js';
import type { PlanExecutor } from './plan-executor.js';
import type { Clock, HostPort } from './ports/ports.js';
import type { StatusReporter } from './status-reporter.js';
import { fields, type VifRecord } from './vif-record.js';

export interface ScriptReconcilerDeps {
  readonly host: HostPort;
  readonly log: Logger;
  readonly notifier: Notifier;
  readonly clock: Clock;
}

/** Starts the script of a vif whose topology is an operator's own, and reports how it stands. */
export class ScriptReconciler {
  readonly #deps: ScriptReconcilerDeps;
  readonly #executor: PlanExecutor;
  readonly #reporter: StatusReporter;

  constructor(deps: ScriptReconcilerDeps, executor: PlanExecutor, reporter: StatusReporter) {
    this.#deps = deps;
    this.#executor = executor;
    this.#reporter = reporter;
  }

  /** Starts the script of a vif. @returns false when the backend's directory went meanwhile */
  async start(record: VifRecord, step: Step & { kind: 'start-script' }): Promise<boolean> {
    // Before the status is cleared: an error that occurs again must stay in xenstore without a gap.
    await this.#deps.host.checkScript(step.script);
    if (!(await this.#reporter.write(record, { kind: 'script-starts' }))) return false;
    record.problem = undefined;
    this.#deps.notifier.detached(record);
    const { failed } = await this.#executor.perform(record, [step.action]);
    if (failed !== undefined) throw failed.error;
    return true;
  }

  /** Reports how a started script stands. It writes `hotplug-status` itself, so nothing is written unless it failed. */
  async started(
    record: VifRecord,
    { verdict, link, run, failure, silence }: Step & { kind: 'script' },
    done: readonly Action[],
    since: number,
    policy: VifPolicy,
  ): Promise<void> {
    const { clock, notifier, host, log } = this.#deps;
    const { script, filter, blocked } = verdict;
    // The script may have written its words after the keys were read; they are read again.
    if (failure !== undefined && record.isStale) return;
    if (failure !== undefined) return await this.#reporter.failed(record, failure);
    if (run.state !== 'online' || silence !== undefined) {
      record.enter('waiting');
      if (silence !== undefined && record.problem === undefined) {
        record.problem = silence;
        const { message, kind, code } = silence;
        const told = { ...fields(record), error: message, errorKind: kind, errorCode: code };
        log.warn(told, 'vif waits for its script');
      }
      return;
    }
    const adopted = record.isNew && !done.some(({ kind }) => kind === 'run-script');
    const bridge = link.master === undefined ? undefined : host.observe().links.byIndex(link.master)?.name;
    const ms = Math.round((clock.now() - since) * 100) / 100;
    if (record.phase !== 'attached') record.attachMs = ms;
    const how = record.phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    record.enter('attached', undefined, 'script');
    record.holding = heldTo(record.snapshot, policy, filter, { bridge: record.snapshot?.bridge });
    notifier.attached(
      record,
      how,
      { script, filter, blocked },
      { topology: 'script', bridge, mtu: link.mtu, ms },
      done,
    );
    notifier.callHooks(record, link, 'script', bridge, adopted);
  }
}
