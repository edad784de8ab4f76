import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Action } from '../model/action.js';
import { Dependencies } from '../model/dependency.js';
import { bridgeOf } from '../model/desired.js';
import type { ObservedState } from '../model/observed.js';
import { asOperationError, ChangedMeanwhile, OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import { isConnected } from '../model/snapshot.js';
import type { EventDetail } from '../model/vif-event.js';
import { plan } from '../plan/plan.js';
import { printAction } from '../plan/print/print.js';
import { actionsOf, next, type Step } from './next.js';
import type { Notifier } from './notifier.js';
import { PlanExecutor } from './plan-executor.js';
import type { BackendPort, Clock, EventsPort, HostPort } from './ports/ports.js';
import { StatusReporter } from './status-reporter.js';
import { fields, type VifRecord } from './vif-record.js';

/** What a look needs of the machine and of the reconciler, which keeps the records. */
export interface VifReconcilerDeps {
  readonly backend: BackendPort;
  readonly host: HostPort;
  readonly log: Logger;
  readonly events: EventsPort;
  readonly notifier: Notifier;
  readonly clock: Clock;
  /** Has the vif looked at again; `stale`: what xenstore says is to be read again first. */
  readonly enqueue: (record: VifRecord, options?: { mustReread: boolean }) => void;
  /** What has happened up to now is answered by the look that is under way. */
  readonly answered: (record: VifRecord) => void;
  /** There is nothing left to know of the vif. */
  readonly forget: (record: VifRecord) => void;
  /** xenstore is gone, or empty: nothing can be told, and nothing follows from what is missing. */
  readonly lost: (error: unknown) => void;
}

/**
 * Changes in a row before a look gives up: of a script that is undone first, of the vif, and of what has come to be wanted
 * while that was done.
 */
const mostRounds = 4;

/** A look at one vif: read, then step by step until nothing is left to change, then report. */
export class VifReconciler {
  config: VifPolicy;
  /** Looks taken so far. */
  reconciliations = 0;
  readonly #deps: VifReconcilerDeps;
  readonly #executor: PlanExecutor;
  readonly #reporter: StatusReporter;

  constructor(config: VifPolicy, deps: VifReconcilerDeps) {
    this.config = config;
    this.#deps = deps;
    this.#executor = new PlanExecutor(deps.host, deps.log);
    this.#reporter = new StatusReporter(deps);
  }

  /** Looks at one vif and makes it what it should be. Never rejects: what goes wrong is that vif's own trouble. */
  async reconcile(record: VifRecord): Promise<void> {
    const { backend, clock, log } = this.#deps;
    const since = record.enqueuedAt ?? clock.now();
    record.sleep();
    record.retryAt = 0;
    this.reconciliations++;
    log.trace(fields(record), 'look');
    try {
      await this.#tryAt(record, since);
    } catch (error) {
      record.mustReread = true;
      if (backend.isLoss(error)) this.#deps.lost(error);
      else log.error({ ...fields(record), err: error }, 'vif not looked at');
    }
  }

  /** @throws when xenstore is lost */
  async #tryAt(record: VifRecord, since: number): Promise<void> {
    const { backend } = this.#deps;
    try {
      if (record.mustReread) {
        // Before reading: what happens during the read makes it stale again.
        record.mustReread = false;
        record.snapshot = await backend.read(record.id);
      }
      await this.#follow(record, since);
    } catch (error) {
      if (backend.isLoss(error)) throw error;
      // Events that came up to here are of what was tried in vain; those of xenstore are not.
      if (!record.mustReread) this.#deps.answered(record);
      record.mustReread = true;
      const failure = asOperationError(error, backend.codeOf(error), 'attach', record.name);
      await this.#reporter.failed(record, failure);
    }
  }

  async #follow(record: VifRecord, since: number): Promise<void> {
    const done: Action[] = [];
    let failure: OperationError | undefined;
    for (let round = 1; ; round++) {
      const step = this.#next(record, done.length === 0);
      if (step.kind === 'start-script') {
        if (round > mostRounds) throw stillToDo(record, [step.action]);
        if (!(await this.#startScript(record, step))) return;
        done.push(step.action);
      } else if (step.kind === 'change') {
        if (round > mostRounds) {
          await this.#executor.isolate(record, step);
          throw failure ?? stillToDo(record, step.actions);
        }
        if (step.verdict.kind === 'attach' || step.verdict.kind === 'script') {
          const performed = await this.#attach(record, step);
          if (performed === undefined) return;
          done.push(...performed);
        } else {
          record.isAttached = false;
          failure = await this.#executor.performAll(record, step.actions);
          done.push(...step.actions);
        }
        record.changed();
      } else {
        return await this.#finish(record, step, done, since);
      }
    }
  }

  /** The next step; from here on whatever comes is news. */
  #next(record: VifRecord, isFirst: boolean): Step {
    const { host } = this.#deps;
    const { id, snapshot } = record;
    const isAttached = record.isNew ? isConnected(snapshot) : record.isAttached;
    const isNew = record.isNew && isFirst;
    const step = next({ id, snapshot, isNew, isAttached }, this.config, host.observe());
    if (!record.mustReread) this.#deps.answered(record);
    if ('dependsOn' in step.verdict) {
      record.dependsOn = new Dependencies(step.verdict.dependsOn);
      host.startWatching(step.verdict.dependsOn);
    }
    const waits = step.kind === 'wait' || step.kind === 'change' || step.kind === 'attached';
    if (!waits) record.waitingFor = undefined;
    return step;
  }

  /** @returns what was done; undefined when the vif is another by now, and is looked at anew */
  async #attach(record: VifRecord, step: Step & { kind: 'change' }): Promise<readonly Action[] | undefined> {
    const { host } = this.#deps;
    const before = devicesOf(record, step, host.observe());
    const { done, failed } = await this.#executor.perform(record, step.actions);
    // What was planned for a machine that is another by now is planned anew.
    if (failed === undefined || failed.error instanceof ChangedMeanwhile) return done;
    // Some of a netdev goes before the kernel says that it does.
    await host.whenQuiet().catch(() => undefined);
    const after = this.#next(record, false);
    const { kind } = after.verdict;
    if (kind !== step.verdict.kind || devicesOf(record, step, host.observe()) !== before) {
      this.#deps.enqueue(record, { mustReread: true });
      return undefined;
    }
    // Its object has gone meanwhile, such as the gateway device: that it failed is no failure.
    if (!actionsOf(after).some((action) => isDeepStrictEqual(action, failed.action))) return done;
    // Fail closed: a vif that could not be held to its addresses must not stay on the network.
    const isolated = await this.#executor.isolate(record, step);
    if (isolated.length > 0) record.isAttached = false;
    if (isolated.length > 0 && kind === 'script') {
      // An operator's script may have done anything; it is undone, and run anew afterwards.
      await this.#executor.performAll(record, plan(record.id, undefined, host.observe()));
    }
    throw failed.error;
  }

  /** @returns false when the backend's directory went meanwhile */
  async #startScript(record: VifRecord, step: Step & { kind: 'start-script' }): Promise<boolean> {
    // Before an error is cleared: the one this would raise again must not flicker.
    await this.#deps.host.checkScript(step.script);
    if (!(await this.#reporter.write(record, { kind: 'script-starts' }))) return false;
    record.problem = undefined;
    this.#deps.notifier.detached(record);
    const { failed } = await this.#executor.perform(record, [step.action]);
    if (failed !== undefined) throw failed.error;
    return true;
  }

  async #finish(
    record: VifRecord,
    step: Exclude<Step, { kind: 'change' | 'start-script' }>,
    done: readonly Action[],
    since: number,
  ): Promise<void> {
    switch (step.kind) {
      case 'wait':
        if (step.verdict.kind === 'attach') record.attachingSince ??= since;
        return await this.#reporter.waitFor(record, step.problem, this.config.netdevTimeoutMs);
      case 'fail':
        return await this.#reporter.failed(record, step.problem);
      case 'closing':
        return record.enter('closing');
      case 'remove':
        return await this.#remove(record, step.directory);
      case 'attached':
        return await this.#attached(record, step, done, since);
      case 'script':
        return await this.#scriptStarted(record, step, done, since);
    }
  }

  async #attached(
    record: VifRecord,
    { verdict, link, missing }: Step & { kind: 'attached' },
    done: readonly Action[],
    since: number,
  ): Promise<void> {
    const { clock, notifier } = this.#deps;
    const { desired, topology } = verdict;
    const began = record.attachingSince ?? since;
    record.attachingSince = undefined;
    const { phase, snapshot } = record;
    // Filters, marks and routes that are added to what another agent has attached interrupt nothing.
    const adopted = snapshot?.hotplugStatus === 'connected' && !done.some(({ kind }) => attaching.has(kind));
    // Offloads cannot be seen, so they are set once more by each daemon.
    const untouched = adopted && done.every(({ kind }) => kind === 'set-offload');
    if (!(await this.#reporter.write(record, { kind: 'attached', mtu: link.mtu }))) return;
    const ms = Math.round((clock.now() - began) * 100) / 100;
    if (phase !== 'attached') record.attachMs = ms;
    record.enter('attached', desired, topology);
    const detail: EventDetail = {
      topology,
      bridge: bridgeOf(desired),
      vifname: link.name === record.name ? undefined : link.name,
      mtu: link.mtu,
      ms,
    };
    const how = phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    // Where any MTU will do, the one it has.
    const wanted = { ...desired, link: { ...desired.link, mtu: link.mtu } };
    notifier.attached(record, how, wanted, detail, done);
    this.#reporter.lacks(record, missing, this.config.netdevTimeoutMs);
    notifier.toHooks(record, link, topology, detail.bridge, untouched);
  }

  /** The script tells dom0 and netback by itself, so nothing is written for it unless it fails without a word. */
  async #scriptStarted(
    record: VifRecord,
    { verdict, link, run, failure }: Step & { kind: 'script' },
    done: readonly Action[],
    since: number,
  ): Promise<void> {
    const { clock, notifier, host, log } = this.#deps;
    const { script, filter } = verdict;
    if (failure !== undefined) return await this.#reporter.failed(record, failure);
    if (run.state !== 'online' || record.snapshot?.hotplugStatus !== 'connected') {
      record.enter('waiting');
      if (run.state === 'online' && record.problem === undefined) {
        // libxl leaves it at that, and netback waits: perhaps something the script started will write it.
        const reason = 'it ended well but wrote no hotplug-status';
        record.problem = problem('script-silent', 'run script', script.file, reason);
        log.warn({ ...fields(record), error: record.problem.message }, 'vif waits for its script');
      }
      return;
    }
    const adopted = record.isNew && !done.some(({ kind }) => kind === 'run-script');
    const bridge = link.master === undefined ? undefined : host.observe().links.byIndex(link.master)?.name;
    const ms = Math.round((clock.now() - since) * 100) / 100;
    if (record.phase !== 'attached') record.attachMs = ms;
    const how = record.phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    record.enter('attached', undefined, 'script');
    notifier.attached(
      record,
      how,
      { script, filter },
      { topology: 'script', bridge, mtu: link.mtu, ms },
      done,
    );
    notifier.toHooks(record, link, 'script', bridge, adopted);
  }

  async #remove(record: VifRecord, directory: boolean): Promise<void> {
    const { backend, events, notifier, forget, enqueue } = this.#deps;
    if (directory) await backend.remove(record.id);
    notifier.detached(record);
    if (!record.isNew || directory) events.tell('removed', record.id);
    // An event that came meanwhile needs the record: the number may be in use again.
    const inUse = record.enqueuedAt !== undefined;
    forget(record);
    if (inUse) enqueue(record, { mustReread: true });
  }
}

/** What makes a vif part of a network; a vif for which none of it was done had been attached before. */
const attaching: ReadonlySet<Action['kind']> = new Set(['set-link', 'ovs-add-port', 'ovs-delete-port']);

/** The indexes of the netdev and of its bridge: others while a change is made, and it was made in vain. */
function devicesOf(record: VifRecord, { verdict }: Step, { links }: ObservedState): string {
  const bridge = verdict.kind === 'attach' ? links.byName(verdict.desired.link.master ?? '') : undefined;
  return `${links.ofVif(record.id)?.index} ${bridge?.index}`;
}

const stillToDo = ({ name }: VifRecord, left: readonly Action[]): OperationError =>
  new OperationError(
    'plan-unfinished',
    'attach',
    name,
    `still to do afterwards: ${left.map(printAction).join('; ')}`,
    { waits: false },
  );
