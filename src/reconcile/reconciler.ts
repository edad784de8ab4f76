import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { Backend } from '../host/backend.js';
import type { HookEvent, Hooks } from '../host/hooks.js';
import type { Host } from '../host/host.js';
import type { EventDetail, Events } from '../observe/events.js';
import { formatNetwork } from '../vif/address.js';
import { bridgeOf, decide, type Verdict } from '../vif/desired.js';
import { parseBackendPath, parseVifName, type VifId, vifName } from '../vif/id.js';
import { type Link, vifOfLink } from '../vif/observed.js';
import { pending } from '../vif/pending.js';
import { type Action, isolate, plan, planScript } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { asOperationError, OperationError, problem } from '../vif/problem.js';
import { type DesiredScript, scriptFailure } from '../vif/script.js';
import { type VifSnapshot, vifKeys } from '../vif/snapshot.js';
import { type Outcome, status } from '../vif/status.js';
import { WorkQueue } from './queue.js';
import { type VifPhase, VifRecord, type VifStatus } from './vif-record.js';

/** First and longest pause between tries at what may pass by itself. */
const retryMs = { first: 500, longest: 60_000 };

/** Keys which nobody but us writes. A look at their events is not urgent: mostly they are our own. */
const ownKeys = new Set(['hotplug-status', 'hotplug-error']);
const ownKeyDelayMs = 200;

/** Queue keys that no vif has: a look for all vifs, and for those of one domain. */
const everyVif = 'all vifs';
const vifsOf = `${everyVif} of `;

const decisiveKeys: ReadonlySet<string> = new Set(['', ...vifKeys]);

/**
 * Makes every vif what it should be. Events only say which vif to look at; what to do follows from what is there, so
 * that birth, change, repair, restart and death are one path.
 */
export class Reconciler {
  readonly #backend: Backend;
  readonly #host: Host;
  readonly #events: Events;
  readonly #hooks: Hooks;
  #config: Config;
  readonly #log: Logger;
  readonly #records = new Map<string, VifRecord>();
  readonly #queue: WorkQueue;
  #looks = 0;

  constructor(parts: {
    backend: Backend;
    host: Host;
    config: Config;
    log: Logger;
    events: Events;
    hooks: Hooks;
  }) {
    this.#backend = parts.backend;
    this.#host = parts.host;
    this.#config = parts.config;
    this.#log = parts.log;
    this.#events = parts.events;
    this.#hooks = parts.hooks;
    this.#queue = new WorkQueue((name) => this.#look(name));
  }

  /** Looks at every vif there is in xenstore, on the host or in memory, and resolves when all have been seen to. */
  async sweep(): Promise<void> {
    this.#queue.add(everyVif);
    await this.#queue.idle();
  }

  /** A watch event fired at this path. */
  xenstoreChanged(path: string): void {
    const subject = parseBackendPath(path);
    if (subject.kind === 'above') {
      // xenstored tells of a tree that came or went by its topmost node only.
      this.#queue.add(subject.domid === undefined ? everyVif : `${vifsOf}${subject.domid}`);
    } else if (subject.kind === 'vif' && decisiveKeys.has(subject.key)) {
      if (!ownKeys.has(subject.key)) this.#mark(subject.id, { stale: true });
      else
        setTimeout(
          () => this.#records.has(vifName(subject.id)) && this.#mark(subject.id, { stale: true }),
          ownKeyDelayMs,
        ).unref();
    }
  }

  /** These network devices, or whatever else verdicts depend on, came, changed or went; `*` means that any may have. */
  hostChanged(names: readonly string[], owners: readonly string[] = []): void {
    const { links } = this.#host.observe();
    for (const name of names) {
      const link = links.byName(name);
      const id = link && vifOfLink(link);
      if (id) this.#mark(id);
    }
    for (const owner of owners) {
      const id = parseVifName(owner);
      if (id) this.#mark(id);
    }
    for (const { id, dependsOn } of this.#records.values()) {
      if (dependsOn.has('*') || names.some((name) => name === '*' || dependsOn.has(name))) this.#mark(id);
    }
  }

  /** An operator's script has ended: what it wrote to xenstore is news too. */
  scriptEnded(id: VifId): void {
    this.#mark(id, { stale: true });
  }

  /** From now on decides by this configuration; every vif is looked at again. */
  async reconfigure(config: Config): Promise<void> {
    this.#config = config;
    await this.sweep();
  }

  /** What is known of the vifs, for people and programs; in order of their numbers. */
  async status(): Promise<VifStatus[]> {
    const drops = await this.#host.drops();
    const { links } = this.#host.observe();
    return [...this.#records.values()]
      .filter(({ phase }) => phase !== 'new')
      .sort((a, b) => a.id.domid - b.id.domid || a.id.devid - b.id.devid)
      .map((record) => {
        const link = links.ofVif(record.id);
        return record.status(link, link && this.#host.traffic(link.name), drops.get(record.name));
      });
  }

  /** In which phase the vifs are, at no cost. */
  phases(): VifPhase[] {
    return [...this.#records.values()].map(({ phase }) => phase);
  }

  /** What anti-spoofing dropped since the filters were made, by vif and reason. */
  drops(): Promise<ReadonlyMap<string, VifStatus['drops']>> {
    return this.#host.drops();
  }

  /** Looks taken at vifs, and requests made to xenstore, since the connection began. */
  counts(): { looks: number; xenstoreRequests: number } {
    return { looks: this.#looks, xenstoreRequests: this.#backend.requests };
  }

  /** Ends the work under way and starts no more; the vifs stay as they are. */
  async stop(): Promise<void> {
    for (const record of this.#records.values()) record.sleep();
    await this.#queue.close();
  }

  #mark(id: VifId, { stale = false } = {}): void {
    const name = vifName(id);
    const record = this.#records.get(name) ?? new VifRecord(id);
    this.#records.set(name, record);
    record.stale ||= stale;
    record.markedAt ??= performance.now();
    this.#queue.add(name);
  }

  /** The queue's job: a look at one vif, or for all vifs there are. Never rejects. */
  async #look(key: string): Promise<void> {
    if (!key.startsWith(everyVif)) return await this.#lookAt(key);
    try {
      await this.#survey(key === everyVif ? undefined : Number(key.slice(vifsOf.length)));
    } catch (error) {
      this.#log.error({ err: error }, 'survey failed');
    }
  }

  /** Marks the vifs of one domain, or of all: those in xenstore, on the host and in memory. */
  async #survey(domid: number | undefined): Promise<void> {
    const listed = await this.#backend.list(domid);
    const known = [...this.#records.values()].map(({ id }) => id);
    for (const id of [...listed, ...known, ...this.#host.owned()]) {
      if (domid === undefined || id.domid === domid) this.#mark(id, { stale: true });
    }
  }

  /** Looks at one vif and makes it what it should be. Never rejects: what goes wrong is that vif's own trouble. */
  async #lookAt(name: string): Promise<void> {
    const record = this.#records.get(name);
    if (record === undefined) return;
    const since = record.markedAt ?? performance.now();
    record.markedAt = undefined;
    record.sleep();
    this.#looks++;
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
      await this.#failed(record, asOperationError(error, 'attach', record.name)).catch((reportError) =>
        this.#log.error({ ...fields(record), err: reportError }, 'vif status not written'),
      );
    }
  }

  async #follow(record: VifRecord, since: number): Promise<void> {
    const verdict = decide(record.snapshot, this.#config, this.#host.observe());
    if ('dependsOn' in verdict) {
      record.dependsOn = new Set(verdict.dependsOn);
      this.#host.attend(verdict.dependsOn);
    }
    if (verdict.kind !== 'await-netdev' && verdict.kind !== 'attach') record.waitingFor = undefined;
    switch (verdict.kind) {
      case 'attach':
        return await this.#attach(record, verdict, since);
      case 'script':
        return await this.#script(record, verdict.script, since);
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
      const left = look();
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
      // The netdev or its bridge went while we worked on it: whatever that broke is not worth a word.
      if (decide(record.snapshot, this.#config, this.#host.observe()).kind !== 'attach')
        return this.#mark(record.id, { stale: true });
      // Fail closed: whoever could not be held to his addresses must not stay on the network.
      await this.#perform(record, isolate(record.id, desired, this.#host.observe()));
      throw error;
    }
    const link = this.#host.observe().links.ofVif(record.id);
    if (link === undefined) return this.#mark(record.id, { stale: true });

    const timeout = this.#config.netdevTimeoutMs;
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
    // Offloads cannot be seen, so they are set once more by each daemon.
    const adopted =
      actions.every(({ kind }) => kind === 'set-offload') && snapshot?.hotplugStatus === 'connected';
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
    this.#tellAttached(
      record,
      before === 'attached' ? 'attached' : adopted ? 'adopt' : 'new',
      detail,
      actions,
    );
    this.#tellHooks(record, link, topology, detail.bridge, adopted);
  }

  /**
   * Lets an operator's script do it. The script tells dom0 and netback by itself, so nothing is written for it unless
   * it fails without a word.
   */
  async #script(record: VifRecord, script: DesiredScript, since: number): Promise<void> {
    const { phase: before, snapshot } = record;
    const found = before === 'new' && snapshot?.hotplugStatus === 'connected';
    const known = this.#host.observe().scripts?.has(record.name) === true;
    const actions = await this.#undoScript(record, () =>
      planScript(record.id, script, this.#host.observe(), found && !known),
    );
    const adopted = found && !actions.some(({ kind }) => kind === 'run-script');
    if (actions.some(({ kind }) => kind === 'run-script')) {
      // Before an error is cleared: the one this would raise again must not flicker.
      await this.#host.checkScript(script);
      if (!(await this.#report(record, { kind: 'script-starts' }))) return;
      record.problem = undefined;
      this.#tellDetached(record);
    }
    await this.#perform(record, actions);
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
    this.#tellAttached(record, how, { topology: 'script', bridge, mtu: link.mtu, ms }, actions);
    this.#tellHooks(record, link, 'script', bridge, adopted);
  }

  /** What a plan says once the script before it has been undone, which nobody can know the doings of. */
  async #undoScript(record: VifRecord, look: () => Action[]): Promise<Action[]> {
    const actions = look();
    if (actions[0]?.kind !== 'undo-script') return actions;
    await this.#perform(record, actions.slice(0, 1));
    return look();
  }

  #tellAttached(
    record: VifRecord,
    how: 'new' | 'adopt' | 'attached',
    detail: EventDetail,
    actions: readonly Action[],
  ): void {
    const by = record.snapshot && decisive(record.snapshot);
    const changed = by !== record.attachedBy;
    record.attachedBy = by;
    if (how !== 'attached') this.#events.tell(how === 'adopt' ? 'adopted' : 'attached', record.id, detail);
    else if (actions.length > 0) {
      const kind = changed ? 'updated' : 'repaired';
      this.#events.tell(kind, record.id, { ...detail, actions: actions.map(printAction) });
    }
  }

  #tellHooks(
    record: VifRecord,
    link: Link,
    topology: string,
    bridge: string | undefined,
    adopted: boolean,
  ): void {
    const told = record.told;
    const now: HookEvent = {
      event: told === undefined ? 'attach' : 'update',
      vif: record.name,
      ...record.id,
      mac: record.snapshot?.mac ?? null,
      ip: record.snapshot?.ip.map(formatNetwork) ?? [],
      bridge: bridge ?? null,
      topology,
      netdev: link.name,
      mtu: link.mtu,
    };
    record.told = now;
    // Who attached it told of it then, or there were no hooks: the daemon's restart is no news.
    if (adopted) return;
    if (told === undefined || JSON.stringify({ ...told, event: now.event }) !== JSON.stringify(now)) {
      this.#hooks.call(now);
    }
  }

  #tellDetached(record: VifRecord): void {
    if (record.told !== undefined) this.#hooks.call({ ...record.told, event: 'detach' });
    record.told = undefined;
  }

  #netdevMissing(record: VifRecord): OperationError {
    const reason = `it did not appear within ${this.#config.netdevTimeoutMs / 1000} s; is xen-netback loaded?`;
    return problem('wait for netdev', record.name, reason);
  }

  /** Waits for what others have to do, and reports it as this problem when that takes too long. */
  async #await(record: VifRecord, late: OperationError): Promise<void> {
    const now = performance.now();
    if (record.waitingFor?.what !== late.operation) record.waitingFor = { what: late.operation, since: now };
    const left = record.waitingFor.since + this.#config.netdevTimeoutMs - now;
    if (left <= 0) return await this.#failed(record, late);
    if (record.phase !== 'failed') record.enter('waiting');
    record.wakeIn(left, () => this.#mark(record.id));
  }

  async #remove(record: VifRecord, directory: boolean): Promise<void> {
    await this.#withdraw(record);
    if (directory) await this.#backend.remove(record.id);
    this.#tellDetached(record);
    if (record.phase !== 'new' || directory) this.#events.tell('removed', record.id);
    // An event that came meanwhile needs the record: the number may be in use again.
    const inUse = record.markedAt !== undefined;
    this.#records.delete(record.name);
    if (inUse) this.#mark(record.id, { stale: true });
  }

  async #failed(record: VifRecord, error: OperationError): Promise<void> {
    if (record.problem?.message !== error.message) {
      this.#events.tell('failed', record.id, { error: error.message });
    }
    record.enter('failed');
    record.problem = error;
    this.#tellDetached(record);
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

const fields = ({ name, id }: VifRecord): { vif: string; domid: number; devid: number } => ({
  vif: name,
  ...id,
});

/** The keys by which a vif is attached, to see whether dom0 has rewritten one. */
const decisive = ({ script, bridge, mac, ip, gatewaydev, vifname, mtu, vlans }: VifSnapshot): string =>
  JSON.stringify([script, bridge, mac, ip, gatewaydev, vifname, mtu, vlans]);
