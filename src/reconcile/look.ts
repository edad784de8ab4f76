import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { Backend } from '../host/backend.js';
import type { Host } from '../host/host.js';
import type { EventDetail, Events } from '../observe/events.js';
import { bridgeOf, decide, type Verdict } from '../vif/desired.js';
import type { VifId } from '../vif/id.js';
import { pending } from '../vif/pending.js';
import { type Action, isolate, plan, planScript } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { asOperationError, OperationError, problem } from '../vif/problem.js';
import { scriptFailure } from '../vif/script.js';
import { type Outcome, status } from '../vif/status.js';
import type { Announcer } from './announcer.js';
import type { VifRecord } from './vif-record.js';

/** First and longest pause between tries at what may pass by itself. */
const retryMs = { first: 500, longest: 60_000 };

/** What a look needs of the machine and of those who keep the records. */
export interface LookParts {
  readonly backend: Backend;
  readonly host: Host;
  readonly log: Logger;
  readonly events: Events;
  readonly announcer: Announcer;
  /** Has the vif looked at again; `stale`: what xenstore says is to be read again first. */
  readonly mark: (id: VifId, options?: { stale: boolean }) => void;
  /** There is nothing left to know of the vif. */
  readonly forget: (record: VifRecord) => void;
}

/** A look at one vif: read, decide, plan, perform, verify, report. */
export class Look {
  config: Config;
  /** Looks taken so far. */
  taken = 0;
  readonly #backend: Backend;
  readonly #host: Host;
  readonly #log: Logger;
  readonly #events: Events;
  readonly #announcer: Announcer;
  readonly #mark: LookParts['mark'];
  readonly #forget: LookParts['forget'];

  constructor(config: Config, parts: LookParts) {
    this.config = config;
    this.#backend = parts.backend;
    this.#host = parts.host;
    this.#log = parts.log;
    this.#events = parts.events;
    this.#announcer = parts.announcer;
    this.#mark = parts.mark;
    this.#forget = parts.forget;
  }

  /** Looks at one vif and makes it what it should be. Never rejects: what goes wrong is that vif's own trouble. */
  async at(record: VifRecord): Promise<void> {
    const since = record.markedAt ?? performance.now();
    record.markedAt = undefined;
    record.sleep();
    this.taken++;
    this.#log.trace(fields(record), 'look');
    try {
      if (record.stale) {
        // Before reading: what happens during the read makes it stale again.
        record.stale = false;
        record.snapshot = await this.#backend.read(record.id);
      }
      await this.#follow(record, since);
    } catch (error) {
      record.stale = true;
      // Not this vif's trouble, and nobody can be told of it: the daemon looks for xenstore again.
      if (this.#backend.isLoss(error)) return;
      await this.#failed(record, asOperationError(error, 'attach', record.name)).catch((reportError) =>
        this.#log.error({ ...fields(record), err: reportError }, 'vif status not written'),
      );
    }
  }

  async #follow(record: VifRecord, since: number): Promise<void> {
    const verdict = decide(record.snapshot, this.config, this.#host.observe());
    if ('dependsOn' in verdict) {
      record.dependsOn = new Set(verdict.dependsOn);
      this.#host.attend(verdict.dependsOn);
    }
    if (verdict.kind !== 'await-netdev' && verdict.kind !== 'attach') record.waitingFor = undefined;
    switch (verdict.kind) {
      case 'attach':
        return await this.#attach(record, verdict, since);
      case 'script':
        return await this.#script(record, verdict, since);
      case 'refuse':
        await this.#withdraw(record);
        return await this.#failed(record, verdict.problem);
      case 'await-netdev':
        return await this.#await(record, this.#netdevMissing(record));
      case 'closing':
        return record.enter('closing');
      case 'remove':
        return await this.#remove(record, verdict.directory);
    }
  }

  async #attach(
    record: VifRecord,
    { topology, desired }: Verdict & { kind: 'attach' },
    since: number,
  ): Promise<void> {
    const look = () => plan(record.id, desired, this.#host.observe());
    const actions = await this.#undoScript(record, look);
    try {
      await this.#perform(record, actions);
      let left = look();
      if (left.length > 0) {
        // More was wanted by the time this was done: Open vSwitch's database came up, say. What we do in vain stays.
        actions.push(...left);
        await this.#perform(record, left);
        left = look();
      }
      if (left.length > 0) {
        throw new OperationError(
          'attach',
          record.name,
          `still to do afterwards: ${left.map(printAction).join('; ')}`,
          {
            waits: false,
          },
        );
      }
    } catch (error) {
      // The netdev or its bridge went while we worked on it: whatever that broke is not worth a word. Some of a netdev
      // goes before the kernel says that it does.
      await this.#host.settled();
      if (decide(record.snapshot, this.config, this.#host.observe()).kind !== 'attach')
        return this.#mark(record.id, { stale: true });
      // Fail closed: whoever could not be held to his addresses must not stay on the network.
      await this.#perform(record, isolate(record.id, desired.filter, this.#host.observe(), desired.name));
      throw error;
    }
    const link = this.#host.observe().links.ofVif(record.id);
    if (link === undefined) return this.#mark(record.id, { stale: true });

    const timeout = this.config.netdevTimeoutMs;
    const missing = pending(record.id, record.snapshot, desired, this.#host.observe(), timeout);
    if (missing !== undefined) {
      record.attachingSince ??= since;
      return missing.patient
        ? await this.#await(record, missing.problem)
        : await this.#failed(record, missing.problem);
    }
    const began = record.attachingSince ?? since;
    record.attachingSince = undefined;
    record.waitingFor = undefined;

    const { phase: before, snapshot } = record;
    // Filters, marks and routes that are added to what another agent has attached interrupt nothing.
    const adopted =
      snapshot?.hotplugStatus === 'connected' && !actions.some(({ kind }) => attaching.has(kind));
    // Offloads cannot be seen, so they are set once more by each daemon.
    const untouched = adopted && actions.every(({ kind }) => kind === 'set-offload');
    if (!(await this.#report(record, { kind: 'attached', mtu: link.mtu }))) return;
    const ms = Math.round((performance.now() - began) * 100) / 100;
    if (before !== 'attached') record.attachMs = ms;
    record.enter('attached', desired, topology);
    const detail: EventDetail = {
      topology,
      bridge: bridgeOf(desired),
      vifname: link.name === record.name ? undefined : link.name,
      mtu: link.mtu,
      ms,
    };
    this.#announcer.attached(
      record,
      before === 'attached' ? 'attached' : adopted ? 'adopt' : 'new',
      detail,
      actions,
    );
    this.#announcer.toHooks(record, link, topology, detail.bridge, untouched);
  }

  /**
   * Lets an operator's script do it. The script tells dom0 and netback by itself, so nothing is written for it unless
   * it fails without a word.
   */
  async #script(
    record: VifRecord,
    { script, filter }: Verdict & { kind: 'script' },
    since: number,
  ): Promise<void> {
    const { phase: before, snapshot } = record;
    const found = before === 'new' && snapshot?.hotplugStatus === 'connected';
    const known = this.#host.observe().scripts?.has(record.name) === true;
    const actions = await this.#undoScript(record, () =>
      planScript(record.id, script, filter, this.#host.observe(), found && !known),
    );
    const runs = actions.some(({ kind }) => kind === 'run-script');
    const adopted = found && !runs;
    // Before an error is cleared: the one this would raise again must not flicker.
    if (runs) await this.#host.checkScript(script);
    try {
      await this.#perform(record, runs ? actions.slice(0, -1) : actions);
    } catch (error) {
      // Fail closed, and first by the link: nobody knows how long the script takes. It is run anew afterwards.
      const isolation = isolate(record.id, filter, this.#host.observe());
      await this.#perform(record, isolation);
      if (isolation.length > 0) await this.#withdraw(record);
      throw error;
    }
    if (runs) {
      if (!(await this.#report(record, { kind: 'script-starts' }))) return;
      record.problem = undefined;
      this.#announcer.detached(record);
      await this.#perform(record, actions.slice(-1));
    }
    const observed = this.#host.observe();
    const link = observed.links.ofVif(record.id);
    const run = observed.scripts?.get(record.name);
    if (link === undefined || run === undefined) return;
    const failure = scriptFailure(script.file, run, record.snapshot);
    if (failure !== undefined) return await this.#failed(record, failure);
    if (run.state !== 'online' || record.snapshot?.hotplugStatus !== 'connected') {
      record.enter('waiting');
      if (run.state === 'online' && record.problem === undefined) {
        // libxl leaves it at that, and netback waits: perhaps something the script started will write it.
        record.problem = problem('run script', script.file, 'it ended well but wrote no hotplug-status');
        this.#log.warn({ ...fields(record), error: record.problem.message }, 'vif waits for its script');
      }
      return;
    }
    const bridge = link.master === undefined ? undefined : observed.links.byIndex(link.master)?.name;
    const ms = Math.round((performance.now() - since) * 100) / 100;
    if (record.phase !== 'attached') record.attachMs = ms;
    const how = record.phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    record.enter('attached', undefined, 'script');
    this.#announcer.attached(record, how, { topology: 'script', bridge, mtu: link.mtu, ms }, actions);
    this.#announcer.toHooks(record, link, 'script', bridge, adopted);
  }

  /** What a plan says once the script before it has been undone, which nobody can know the doings of. */
  async #undoScript(record: VifRecord, look: () => Action[]): Promise<Action[]> {
    const actions = look();
    if (actions[0]?.kind !== 'undo-script') return actions;
    await this.#perform(record, actions.slice(0, 1));
    return look();
  }

  #netdevMissing(record: VifRecord): OperationError {
    const reason = `it did not appear within ${this.config.netdevTimeoutMs / 1000} s; is xen-netback loaded?`;
    return problem('wait for netdev', record.name, reason);
  }

  /** Waits for what others have to do, and reports it as this problem when that takes too long. */
  async #await(record: VifRecord, late: OperationError): Promise<void> {
    const now = performance.now();
    if (record.waitingFor?.what !== late.operation) record.waitingFor = { what: late.operation, since: now };
    const left = record.waitingFor.since + this.config.netdevTimeoutMs - now;
    if (left <= 0) return await this.#failed(record, late);
    if (record.phase !== 'failed') record.enter('waiting');
    record.wakeIn(left, () => this.#mark(record.id));
  }

  async #remove(record: VifRecord, directory: boolean): Promise<void> {
    await this.#withdraw(record);
    if (directory) await this.#backend.remove(record.id);
    this.#announcer.detached(record);
    if (record.phase !== 'new' || directory) this.#events.tell('removed', record.id);
    // An event that came meanwhile needs the record: the number may be in use again.
    const inUse = record.markedAt !== undefined;
    this.#forget(record);
    if (inUse) this.#mark(record.id, { stale: true });
  }

  async #failed(record: VifRecord, error: OperationError): Promise<void> {
    if (record.problem?.message !== error.message) {
      this.#events.tell('failed', record.id, { error: error.message });
    }
    record.enter('failed');
    record.problem = error;
    this.#announcer.detached(record);
    if (error.waits) {
      record.failures = 0;
    } else {
      const pause = Math.min(retryMs.first * 2 ** record.failures, retryMs.longest);
      record.failures++;
      record.wakeIn(pause, () => this.#mark(record.id, { stale: true }));
    }
    await this.#report(record, { kind: 'failed', problem: error });
  }

  /** @returns false when the directory went meanwhile; then the vif is looked at again */
  async #report(record: VifRecord, outcome: Outcome): Promise<boolean> {
    if (record.snapshot === undefined) return true;
    const writes = status(record.snapshot, outcome);
    if (Object.keys(writes.backend).length === 0 && writes.frontendMtu === undefined) return true;
    const written = await this.#backend.report(record.id, writes);
    if (!written) {
      this.#mark(record.id, { stale: true });
      return false;
    }
    const told = writes.backend;
    record.snapshot = {
      ...record.snapshot,
      ...('hotplug-status' in told ? { hotplugStatus: told['hotplug-status'] } : {}),
      ...('hotplug-error' in told ? { hotplugError: told['hotplug-error'] } : {}),
      ...(writes.frontendMtu === undefined ? {} : { frontendMtu: writes.frontendMtu }),
    };
    return true;
  }

  /** Takes off the host what is there for a vif. netback may take the netdev away meanwhile, and then less is left. */
  async #withdraw(record: VifRecord): Promise<void> {
    try {
      await this.#perform(record, plan(record.id, undefined, this.#host.observe()));
    } catch (error) {
      if (this.#host.observe().links.ofVif(record.id) !== undefined) throw error;
      await this.#perform(record, plan(record.id, undefined, this.#host.observe()));
    }
  }

  async #perform(record: VifRecord, actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      this.#log.debug({ ...fields(record), action: printAction(action) }, 'host change');
      await this.#host.perform(action);
    }
  }
}

/** What makes a vif part of a network; a vif for which none of it was done had been attached before. */
const attaching: ReadonlySet<Action['kind']> = new Set(['set-link', 'ovs-add-port', 'ovs-delete-port']);

const fields = ({ name, id }: VifRecord): { vif: string; domid: number; devid: number } => ({
  vif: name,
  ...id,
});
