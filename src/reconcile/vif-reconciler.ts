import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { hasFloorAlone } from '../decide/floor.js';
import { heldTo } from '../decide/holding.js';
import type { Action } from '../model/action.js';
import type { Dependents } from '../model/dependency.js';
import { bridgeOf, type DesiredState } from '../model/desired.js';
import type { Link, ObservedState } from '../model/observed.js';
import { asOperationError, ChangedMeanwhile, OperationError } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import { xenbusState } from '../model/snapshot.js';
import { cardOf } from '../model/twins.js';
import type { EventDetail } from '../model/vif-event.js';
import { plan } from '../plan/plan.js';
import { printAction } from '../plan/print/print.js';
import { closedFamilies } from '../plan/sysctl.js';
import type { Cards } from './cards.js';
import { GuestKeysKeeper } from './guest-keys.js';
import { keysWith, knownOf } from './known.js';
import { actionsOf, next, type Step } from './next.js';
import type { Notifier } from './notifier.js';
import { PlanExecutor } from './plan-executor.js';
import type { BackendPort, BlocksPort, Clock, EventsPort, HostPort } from './ports/ports.js';
import { ScriptReconciler } from './script-reconciler.js';
import { StatusReporter } from './status-reporter.js';
import { Turns } from './turns.js';
import { fields, type LastDesired, type VifRecord } from './vif-record.js';

/** What reconciling a vif needs: the ports, and the reconciler's queue and records. */
export interface VifReconcilerDeps {
  readonly backend: BackendPort;
  readonly blocks: BlocksPort;
  readonly host: HostPort;
  readonly log: Logger;
  readonly events: EventsPort;
  readonly notifier: Notifier;
  readonly clock: Clock;
  /** Has the vif reconciled again; with `mustReread` its keys are read again first. */
  readonly enqueue: (record: VifRecord, options?: { mustReread: boolean }) => void;
  /** Drops the events up to now from the queue: the reconciliation under way has observed what they are about. */
  readonly acknowledge: (record: VifRecord) => void;
  /** Which vifs depend on what. */
  readonly dependents: Dependents<VifRecord>;
  /** Which vifs are of one network card. */
  readonly cards: Cards<VifRecord>;
  /** Deletes the record of a vif that is gone. */
  readonly forget: (record: VifRecord) => void;
  /** Called when xenstored is out of reach, or was started anew and is empty: then nothing follows from absent keys. */
  readonly lost: (error: unknown) => void;
}

/**
 * The most changes of one reconciliation before it fails: one undoes a script, one attaches, and others follow what
 * changed meanwhile.
 */
const maxChanges = 4;

/** How long a vif goes without a filter for control frames alone that was refused, in ms. */
const refusedMs = 30_000;

/** Reconciles one vif: reads its keys, performs steps until nothing is left to change, and reports the outcome. */
export class VifReconciler {
  config: VifPolicy;
  /** Reconciliations begun so far, of all vifs. */
  reconciliations = 0;
  readonly #deps: VifReconcilerDeps;
  readonly #executor: PlanExecutor;
  readonly #reporter: StatusReporter;
  readonly #scripts: ScriptReconciler;
  readonly #guestKeys: GuestKeysKeeper;
  readonly #turns = new Turns();

  constructor(config: VifPolicy, deps: VifReconcilerDeps) {
    this.config = config;
    this.#deps = deps;
    this.#executor = new PlanExecutor(deps.host, deps.log);
    this.#reporter = new StatusReporter(deps);
    this.#scripts = new ScriptReconciler(deps, this.#executor, this.#reporter);
    this.#guestKeys = new GuestKeysKeeper(deps);
  }

  /** Reconciles one vif. Never rejects: an error is reported as that vif's own and keeps no other from its turn. */
  async reconcile(record: VifRecord): Promise<void> {
    const { backend, clock, log } = this.#deps;
    const since = record.enqueuedAt ?? clock.now();
    record.sleep();
    record.retryAt = 0;
    this.reconciliations++;
    log.trace(fields(record), 'reconciling vif');
    try {
      await this.#readAndStep(record, since);
    } catch (error) {
      record.mustReread = true;
      if (backend.isLoss(error)) this.#deps.lost(error);
      else log.error({ ...fields(record), err: error }, 'vif not reconciled');
    }
    // With an event that came meanwhile it is reconciled once more.
    if (record.enqueuedAt === undefined) for (const resolve of record.reconciled.splice(0)) resolve();
  }

  /** Reads the keys where they may have changed, and takes steps. @throws when xenstore is lost */
  async #readAndStep(record: VifRecord, since: number): Promise<void> {
    const { backend } = this.#deps;
    try {
      if (record.isStale) {
        const { snapshot: before, mustReread } = record;
        record.read();
        const changed = new Set([...record.changedKeys, ...record.ownKeys]);
        // Before reading: an event during the read sets them again.
        record.mustReread = false;
        record.changedKeys.clear();
        record.ownKeys.clear();
        const isPart = before !== undefined && !mustReread;
        record.snapshot = await (isPart ? backend.readAgain(before, changed) : backend.read(record.id));
        // Where other keys have changed meanwhile it may be another vif by the same number, with a state of its own.
        if (isPart && record.mustReread) {
          record.mustReread = false;
          record.snapshot = await backend.read(record.id);
        }
        if (record.snapshot?.state === xenbusState.connected && before?.state !== xenbusState.connected)
          this.#deps.host.frontendCame(record.id);
        for (const twin of this.#deps.cards.set(record, cardOf(record.snapshot))) this.#deps.enqueue(twin);
      }
      await this.#takeSteps(record, since);
    } catch (error) {
      if (backend.isLoss(error)) throw error;
      // Events up to here are effects of the failed attempt, except those of xenstore.
      if (!record.isStale) this.#deps.acknowledge(record);
      record.mustReread = true;
      const failure = asOperationError(error, backend.codeOf(error), 'attach', record.name);
      await this.#reporter.failed(record, failure);
    }
  }

  async #takeSteps(record: VifRecord, since: number): Promise<void> {
    const done: Action[] = [];
    let last: readonly Action[] = [];
    let failure: OperationError | undefined;
    for (let round = 1; ; round++) {
      await this.#turns.take();
      const step = this.#next(record, done.length === 0);
      if (step.kind === 'start-script') {
        if (round > maxChanges) throw stillToDo(record, [step.action]);
        if (!(await this.#scripts.start(record, step))) return;
        done.push(step.action);
      } else if (step.kind === 'change') {
        if (round > maxChanges) {
          if (step.verdict.kind === 'attach' && step.actions.every(isOfSets))
            return await this.#finishWithoutSets(record, done, since);
          const isolated = await this.#executor.isolate(record, step);
          // A default route that comes and goes: an attached vif is no worse for it, and follows a little later.
          const isMoving = !step.actions.some((action) => last.some((one) => isDeepStrictEqual(one, action)));
          if (isMoving && isolated.length === 0 && record.attached && record.failures < maxChanges)
            return this.#reporter.retry(record);
          throw failure ?? stillToDo(record, step.actions);
        }
        if (step.verdict.kind === 'attach' || step.verdict.kind === 'script') {
          const performed = await this.#attach(record, step);
          if (performed === undefined) return;
          done.push(...performed);
          last = performed;
        } else {
          record.attached = undefined;
          failure = await this.#executor.performAll(record, step.actions);
          done.push(...step.actions);
        }
        record.changed();
      } else {
        return await this.#finish(record, step, done, since);
      }
    }
  }

  /** Finishes as if there were no sets, and looks again later: an administrator's set that others change all the time costs a vif nothing. */
  async #finishWithoutSets(record: VifRecord, done: Action[], since: number): Promise<void> {
    const { namedSets: _, ...observed } = this.#deps.host.observe();
    const step = this.#next(record, false, observed);
    if (step.kind !== 'change' && step.kind !== 'start-script') await this.#finish(record, step, done, since);
    this.#reporter.retry(record);
  }

  /** The next step by what is observed now; events up to now are acknowledged. */
  #next(record: VifRecord, isFirst: boolean, observed = this.#deps.host.observe()): Step {
    const { host } = this.#deps;
    const { id } = record;
    record.block = record.snapshot && this.#deps.blocks.of(record.snapshot);
    const snapshot =
      record.snapshot && keysWith(record.snapshot, this.#deps.cards.twins(record), record.block);
    const { isNew, attached } = record;
    const known = knownOf(id, snapshot, { isNew, attached, floorRefused: this.#refusalOf(record)?.problem });
    const step = next({ ...known, isNew: isNew && isFirst }, this.config, observed);
    if (!record.isStale) this.#deps.acknowledge(record);
    if ('dependsOn' in step.verdict) {
      this.#deps.dependents.set(record, step.verdict.dependsOn);
      host.startWatching(step.verdict.dependsOn);
    }
    const waits = step.kind === 'wait' || step.kind === 'change' || step.kind === 'attached';
    if (!waits) record.waitingFor = undefined;
    return step;
  }

  /** @returns what was done; undefined when the vif's netdev or bridge was replaced meanwhile, and the vif is enqueued */
  async #attach(record: VifRecord, step: Step & { kind: 'change' }): Promise<readonly Action[] | undefined> {
    const { host } = this.#deps;
    const before = devicesOf(record, step, host.observe());
    const { done, failed } = await this.#executor.perform(record, step.actions);
    // The machine changed since the plan was made; the next step plans anew.
    if (failed === undefined || failed.error instanceof ChangedMeanwhile) return done;
    // A netdev loses addresses and sysctls before the kernel announces that it is gone.
    await host.whenQuiet().catch(() => undefined);
    const after = this.#next(record, false);
    const { kind } = after.verdict;
    if (kind !== step.verdict.kind || devicesOf(record, step, host.observe()) !== before) {
      this.#deps.enqueue(record, { mustReread: true });
      return undefined;
    }
    // The object of the action has gone meanwhile, such as the gateway device: the action is no longer needed.
    if (!actionsOf(after).some((action) => isDeepStrictEqual(action, failed.action))) return done;
    if (
      failed.action.kind === 'nft' &&
      step.verdict.kind === 'attach' &&
      hasFloorAlone(step.verdict.desired)
    ) {
      const refusal = asOperationError(failed.error, 'internal', 'run', printAction(failed.action));
      record.floorRefused = { problem: refusal, until: this.#deps.clock.now() + refusedMs };
      return done;
    }
    // Fail closed: a vif without its filter must not stay on the network.
    const isolated = await this.#executor.isolate(record, step);
    if (isolated.length > 0) record.attached = undefined;
    if (isolated.length > 0 && kind === 'script') {
      // An operator's script may have changed anything: it is undone now, and run anew afterwards.
      await this.#executor.performAll(record, plan(record.id, undefined, host.observe()));
    }
    throw failed.error;
  }

  async #finish(
    record: VifRecord,
    step: Exclude<Step, { kind: 'change' | 'start-script' }>,
    done: readonly Action[],
    since: number,
  ): Promise<void> {
    if (step.kind === 'fail' || step.kind === 'script')
      await this.#guestKeys.keep(record, undefined, this.config);
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
        return await this.#scripts.started(record, step, done, since, this.config);
    }
  }

  async #attached(
    record: VifRecord,
    { verdict, link, missing }: Step & { kind: 'attached' },
    done: readonly Action[],
    since: number,
  ): Promise<void> {
    const { clock, host, notifier } = this.#deps;
    const { desired, topology } = verdict;
    const began = record.attachingSince ?? since;
    record.attachingSince = undefined;
    const { phase, snapshot } = record;
    // Adding filters, marks and routes to a vif that another agent has attached interrupts nothing.
    const adopted = snapshot?.hotplugStatus === 'connected' && !done.some(({ kind }) => attaching.has(kind));
    // Offloads are not followed, and may be set again where ethtool did not tell them.
    const untouched = adopted && done.every(({ kind }) => kind === 'set-offload');
    if (!(await this.#reporter.write(record, { kind: 'attached', mtu: link.mtu }))) return;
    const ms = Math.round((clock.now() - began) * 100) / 100;
    if (phase !== 'attached') record.attachMs = ms;
    record.enter('attached', desired, topology);
    record.holding = heldTo(snapshot, this.config, desired.filter, {
      topology,
      bridge: bridgeOf(desired),
      networks: desired.ip?.routes.map(({ to }) => to),
    });
    const detail: EventDetail = {
      topology,
      bridge: bridgeOf(desired),
      vifname: link.name === record.name ? undefined : link.name,
      mtu: link.mtu,
      ms,
    };
    const how = phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    notifier.attached(record, how, lasting(desired, link, host.observe()), detail, done);
    const { floorRefused } = record;
    if (floorRefused !== undefined && missing.some((lack) => lack.problem === floorRefused.problem))
      record.wakeIn(Math.max(floorRefused.until - clock.now(), 0), () => this.#deps.enqueue(record));
    const untold = await this.#guestKeys.keep(record, desired.ip?.guestKeys, this.config);
    const lacks = untold ? [...missing, { problem: untold, patient: false, forwards: true }] : missing;
    this.#reporter.reportMissing(record, lacks, this.config.netdevTimeoutMs);
    notifier.callHooks(record, link, topology, detail.bridge, untouched);
  }

  /** The refusal of the vif's floor that is in force. */
  #refusalOf({ floorRefused }: VifRecord): VifRecord['floorRefused'] {
    return floorRefused !== undefined && floorRefused.until > this.#deps.clock.now()
      ? floorRefused
      : undefined;
  }

  async #remove(record: VifRecord, directory: boolean): Promise<void> {
    const { backend, events, notifier, forget, enqueue } = this.#deps;
    if (directory) await backend.remove(record.id);
    await this.#guestKeys.keep(record, undefined, this.config);
    notifier.detached(record);
    if (!record.isNew || directory) events.tell('removed', record.id);
    // After an event that came meanwhile there may be a new vif with the same numbers.
    const inUse = record.enqueuedAt !== undefined;
    forget(record);
    if (inUse) enqueue(record, { mustReread: true });
  }
}

/** The kinds of actions that put a vif on a network; one that needed none of them had been attached before. */
const attaching: ReadonlySet<Action['kind']> = new Set(['set-link', 'ovs-add-port', 'ovs-delete-port']);

const isOfSets = ({ kind }: Action): boolean => kind === 'add-to-set' || kind === 'delete-from-set';

/** The indexes of the netdev and of its bridge, to compare: where they differ after a change, a device was replaced. */
function devicesOf(record: VifRecord, { verdict }: Step, { links }: ObservedState): string {
  const bridge = verdict.kind === 'attach' ? links.byName(verdict.desired.link.master ?? '') : undefined;
  return `${links.ofVif(record.id)?.index} ${bridge?.index}`;
}

/**
 * What is desired from now on: with the netdev's MTU, which a desired state without one leaves as it is, and of a guest that is on the
 * network now, which it is not yet in what its birth desires; and what follows from the vifs beside it.
 */
const lasting = (desired: DesiredState, { mtu }: Link, observed: ObservedState): LastDesired => ({
  ...desired,
  link: { ...desired.link, mtu },
  ...(desired.ip?.resumes === undefined ? {} : { ip: { ...desired.ip, resumes: true } }),
  ...(desired.ip?.forwards === undefined ? {} : { closed: closedFamilies(observed, []) }),
});

const stillToDo = ({ name }: VifRecord, left: readonly Action[]): OperationError =>
  new OperationError(
    'plan-unfinished',
    'attach',
    name,
    `still to do afterwards: ${left.map(printAction).join('; ')}`,
    { waits: false },
  );
