import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { Backend } from '../host/backend.js';
import type { Host } from '../host/host.js';
import type { EventDetail, Events } from '../observe/events.js';
import { bridgeOf, decide, type Verdict } from '../vif/desired.js';
import type { VifId } from '../vif/id.js';
import { netdevMissing, pending } from '../vif/pending.js';
import { type Action, isolate, plan } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { asOperationError, ChangedMeanwhile, OperationError } from '../vif/problem.js';
import type { Announcer } from './announcer.js';
import { Changes } from './changes.js';
import { Outcomes } from './outcomes.js';
import { ScriptLook } from './script-look.js';
import { fields, type VifRecord } from './vif-record.js';

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
  /** xenstore is gone, or empty: nobody can be told anything, and nothing follows from what is missing. */
  readonly lost: (error: unknown) => void;
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
  readonly #lost: LookParts['lost'];
  readonly #changes: Changes;
  readonly #outcomes: Outcomes;
  readonly #scripts: ScriptLook;

  constructor(config: Config, parts: LookParts) {
    this.config = config;
    this.#backend = parts.backend;
    this.#host = parts.host;
    this.#log = parts.log;
    this.#events = parts.events;
    this.#announcer = parts.announcer;
    this.#mark = parts.mark;
    this.#forget = parts.forget;
    this.#lost = parts.lost;
    const changes = new Changes(parts.host, parts.log);
    const outcomes = new Outcomes(parts);
    this.#changes = changes;
    this.#outcomes = outcomes;
    this.#scripts = new ScriptLook({ ...parts, changes, outcomes });
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
      if (error instanceof ChangedMeanwhile) return this.#mark(record.id);
      if (this.#backend.isLoss(error)) return this.#lost(error);
      await this.#outcomes
        .failed(record, asOperationError(error, 'attach', record.name, this.#backend.kindOf(error)))
        .catch((reportError) =>
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
        return await this.#scripts.attach(record, verdict, since);
      case 'refuse':
        await this.#changes.withdraw(record);
        return await this.#outcomes.failed(record, verdict.problem);
      case 'await-netdev':
        return await this.#outcomes.await(
          record,
          netdevMissing(record.id, this.config.netdevTimeoutMs),
          this.config.netdevTimeoutMs,
        );
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
    const devices = () => {
      const { links } = this.#host.observe();
      return `${links.ofVif(record.id)?.index} ${links.byName(desired.link.master ?? '')?.index}`;
    };
    const before = devices();
    const actions = await this.#changes.undoScript(record, look);
    try {
      await this.#changes.perform(record, actions);
      let left = look();
      if (left.length > 0) {
        // More was wanted by the time this was done: Open vSwitch's database came up, say. What we do in vain stays.
        actions.push(...left);
        await this.#changes.perform(record, left);
        left = look();
      }
      if (left.length > 0) {
        throw new OperationError(
          'attach',
          record.name,
          `still to do afterwards: ${left.map(printAction).join('; ')}`,
          { waits: false, kind: 'kernel' },
        );
      }
    } catch (error) {
      if (error instanceof ChangedMeanwhile) throw error;
      // The netdev or its bridge went while we worked on it, perhaps with another in its place already: whatever that
      // broke is not worth a word. Some of a netdev goes before the kernel says that it does.
      await this.#host.settled().catch(() => undefined);
      const verdict = decide(record.snapshot, this.config, this.#host.observe());
      if (verdict.kind !== 'attach' || devices() !== before) return this.#mark(record.id, { stale: true });
      // Fail closed: whoever could not be held to his addresses must not stay on the network.
      await this.#changes.perform(
        record,
        isolate(record.id, desired.filter, this.#host.observe(), desired.name),
      );
      throw error;
    }
    const link = this.#host.observe().links.ofVif(record.id);
    if (link === undefined) return this.#mark(record.id, { stale: true });

    const timeout = this.config.netdevTimeoutMs;
    const missing = pending(record.id, record.snapshot, desired, this.#host.observe(), timeout);
    if (missing !== undefined) {
      record.attachingSince ??= since;
      return missing.patient
        ? await this.#outcomes.await(record, missing.problem, timeout)
        : await this.#outcomes.failed(record, missing.problem);
    }
    const began = record.attachingSince ?? since;
    record.attachingSince = undefined;
    record.waitingFor = undefined;

    const { phase, snapshot } = record;
    // Filters, marks and routes that are added to what another agent has attached interrupt nothing.
    const adopted =
      snapshot?.hotplugStatus === 'connected' && !actions.some(({ kind }) => attaching.has(kind));
    // Offloads cannot be seen, so they are set once more by each daemon.
    const untouched = adopted && actions.every(({ kind }) => kind === 'set-offload');
    if (!(await this.#outcomes.report(record, { kind: 'attached', mtu: link.mtu }))) return;
    const ms = Math.round((performance.now() - began) * 100) / 100;
    if (phase !== 'attached') record.attachMs = ms;
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
      phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new',
      // Where any MTU will do, the one it has.
      { ...desired, link: { ...desired.link, mtu: link.mtu } },
      detail,
      actions,
    );
    this.#announcer.toHooks(record, link, topology, detail.bridge, untouched);
  }

  async #remove(record: VifRecord, directory: boolean): Promise<void> {
    await this.#changes.withdraw(record);
    if (directory) await this.#backend.remove(record.id);
    this.#announcer.detached(record);
    if (record.phase !== 'new' || directory) this.#events.tell('removed', record.id);
    // An event that came meanwhile needs the record: the number may be in use again.
    const inUse = record.markedAt !== undefined;
    this.#forget(record);
    if (inUse) this.#mark(record.id, { stale: true });
  }
}

/** What makes a vif part of a network; a vif for which none of it was done had been attached before. */
const attaching: ReadonlySet<Action['kind']> = new Set(['set-link', 'ovs-add-port', 'ovs-delete-port']);
