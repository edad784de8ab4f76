import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { Dependents, type News } from '../model/dependency.js';
import { type Traffic, vifOfLink } from '../model/observed.js';
import type { VifPolicy } from '../model/policy.js';
import { type LifeKey, lifeKeys, type VifSnapshot, vifKeys } from '../model/snapshot.js';
import { cardOf } from '../model/twins.js';
import { parseBackendPath, parseVifName, type VifId, vifName } from '../model/vif-id.js';
import type { VifPhase, VifStatus } from '../model/vif-status.js';
import { planOrphans } from '../plan/orphans.js';
import { printAction } from '../plan/print/print.js';
import { Cards } from './cards.js';
import { DropNotices } from './drop-notices.js';
import { type FirstKeys, readKeys } from './first-keys.js';
import { Notifier } from './notifier.js';
import { PeriodicResync } from './periodic-resync.js';
import type { BackendPort, BlocksPort, Clock, EventsPort, HooksPort, HostPort } from './ports/ports.js';
import { systemClock } from './system-clock.js';
import { VifReconciler } from './vif-reconciler.js';
import { VifRecord } from './vif-record.js';
import { WorkQueue } from './work-queue.js';

/** Keys which vifd writes itself. Reconciling for their events is not urgent: most of them are vifd's own writes. */
const ownKeys = new Set(['hotplug-status', 'hotplug-error']);
const ownKeyDelayMs = 200;

/** Pause in ms before vifs are listed again when that failed. */
const listRetryMs = 1000;

/** An item of the queue: a vif to reconcile; the vifs of one domain or of all to list and enqueue; or all, as listed before. */
type Request =
  | { readonly vif: string }
  | { readonly vifsOf: number | 'all' }
  | { readonly listed: readonly VifId[] };

function keyOf(request: Request): string {
  if ('vif' in request) return request.vif;
  // An event that has all vifs listed anew is not covered by an older list.
  return 'listed' in request ? 'vifs listed' : `vifs of ${request.vifsOf}`;
}

/** Keys whose events have the vif reconciled; '' is its backend directory. */
const decisiveKeys: ReadonlySet<string> = new Set(['', ...vifKeys]);

/**
 * Reconciles vifs: brings each to the state that follows from its keys, the configuration and the host. Events only name
 * the vif; what to do follows from the observed state, so that attach, change, repair, restart and removal are one path.
 */
export class Reconciler {
  readonly #backend: BackendPort;
  readonly #host: HostPort;
  readonly #hooks: HooksPort;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #lost: (error: unknown) => void;
  readonly #vifReconciler: VifReconciler;
  readonly #records = new Map<string, VifRecord>();
  readonly #cards = new Cards<VifRecord>();
  readonly #dependents = new Dependents<VifRecord>();
  readonly #queue: WorkQueue<Request>;
  readonly #periodicResync: PeriodicResync;
  readonly #dropNotices: DropNotices;
  #stopped = false;

  /**
   * @param deps.lost called when xenstored is out of reach, or was started anew and is empty
   * @param deps.random numbers from 0 up to 1
   */
  constructor(deps: {
    backend: BackendPort;
    host: HostPort;
    config: VifPolicy;
    log: Logger;
    events: EventsPort;
    hooks: HooksPort;
    blocks: BlocksPort;
    lost: (error: unknown) => void;
    clock?: Clock;
    random?: () => number;
  }) {
    const { clock = systemClock, random = Math.random } = deps;
    this.#backend = deps.backend;
    this.#host = deps.host;
    this.#hooks = deps.hooks;
    this.#log = deps.log;
    this.#clock = clock;
    this.#lost = deps.lost;
    this.#vifReconciler = new VifReconciler(deps.config, {
      ...deps,
      clock,
      notifier: new Notifier(deps.events, deps.hooks),
      enqueue: ({ id }, options) => this.#enqueue(id, options),
      acknowledge: (record) => this.#acknowledge(record),
      cards: this.#cards,
      dependents: this.#dependents,
      forget: (record) => this.#forget(record),
    });
    this.#queue = new WorkQueue((request: Request) => this.#run(request), keyOf);
    this.#dropNotices = new DropNotices(() => this.#host.drops(), deps.log);
    this.#periodicResync = new PeriodicResync(() => this.#resyncHost(), clock, random);
  }

  /**
   * Takes over the keys of all vifs that were read before there was a reconciler, and before the first event is followed that came
   * meanwhile: the keys that one is about are read again.
   * @returns when all have been reconciled once
   */
  begin({ listed, read }: FirstKeys): Promise<void> {
    for (const [id, keys] of read) this.#meet(id, keys);
    return this.reconcileAll(listed);
  }

  /**
   * Reconciles every vif in xenstore, on the host or in memory; resolves when all have been reconciled once.
   * @param listed those in xenstore, where they and their keys are known
   */
  async reconcileAll(listed?: readonly VifId[]): Promise<void> {
    await this.#dropNotices.tell();
    this.#queue.add(listed === undefined ? { vifsOf: 'all' } : { listed });
    await this.#queue.idle();
    await this.#removeOrphans();
  }

  /** A watch event fired at this path. */
  xenstoreChanged(path: string): void {
    const subject = parseBackendPath(path);
    if (subject.kind === 'above') {
      // xenstored tells of a tree that came or went by its topmost node only.
      this.#queue.add({ vifsOf: subject.domid ?? 'all' });
    } else if (subject.kind === 'vif' && decisiveKeys.has(subject.key)) {
      const { id, key } = subject;
      const lifeKey = lifeKeys.find((one) => one === key);
      if (lifeKey === undefined) this.#enqueue(id, { mustReread: true });
      else if (!ownKeys.has(lifeKey)) this.#enqueue(id, { changed: lifeKey });
      else {
        this.#records.get(vifName(id))?.ownKeys.add(lifeKey);
        this.#clock.after(ownKeyDelayMs, () => void this.#readOwn(id));
      }
    }
  }

  /**
   * Has the vifs looked at that news of the machine concern.
   * @param owners the names of vifs that the news are about
   */
  hostChanged(news: readonly News[], owners: readonly string[] = []): void {
    const { links } = this.#host.observe();
    for (const one of news) {
      const link = one.kind === 'netdev' ? links.byName(one.name) : undefined;
      const id = link && vifOfLink(link);
      if (id) this.#enqueue(id);
    }
    for (const owner of owners) {
      const id = parseVifName(owner);
      if (id) this.#enqueue(id);
    }
    const concerned = news.some(({ kind }) => kind === 'anything')
      ? this.#records.values()
      : this.#dependents.concernedBy(news);
    for (const { id } of concerned) this.#enqueue(id);
  }

  /** Has a vif looked at of whose own keys one says something else than vifd has written or read. Never rejects. */
  async #readOwn(id: VifId): Promise<void> {
    const record = this.#records.get(vifName(id));
    // A retry that is due reads them anyway, and an error whose text differs each time must not cause the next one.
    if (this.#stopped || record === undefined || record.retryAt > this.#clock.now()) return;
    const { snapshot } = record;
    const changed = new Set(record.ownKeys);
    record.ownKeys.clear();
    if (changed.size === 0) return;
    try {
      const now = snapshot && (await this.#backend.readAgain(snapshot, changed));
      if (now === undefined || !isDeepStrictEqual(now, record.snapshot))
        this.#enqueue(id, { mustReread: true });
    } catch (error) {
      if (this.#backend.isLoss(error)) this.#lost(error);
      else this.#enqueue(id, { mustReread: true });
    }
  }

  /** An operator's script has ended: the keys that it wrote are read again. */
  scriptEnded(id: VifId): void {
    this.#enqueue(id, { mustReread: true });
  }

  /** Takes over a configuration, and reconciles every vif by it. */
  async reconfigure(config: VifPolicy): Promise<void> {
    this.#vifReconciler.config = config;
    await this.reconcileAll();
  }

  /** The keys of a vif as they were read last; undefined for one that is not in xenstore. */
  keysOf(vif: string): VifSnapshot | undefined {
    return this.#records.get(vif)?.snapshot;
  }

  /** Reconciles these vifs again, by what was decided about them elsewhere, and resolves when that has been done. */
  async reconcileAgain(which: (snapshot: VifSnapshot) => boolean): Promise<void> {
    const records = [...this.#records.values()].filter(({ snapshot }) => snapshot && which(snapshot));
    await Promise.all(
      records.map((record) => {
        const done = new Promise<void>((resolve) => record.reconciled.push(resolve));
        this.#enqueue(record.id, { mustReread: true });
        return done;
      }),
    );
  }

  /** The status of one vif, as `vifd status` shows it, at a cost that does not depend on how many there are; undefined for none. */
  async statusOf(vif: string): Promise<VifStatus | undefined> {
    const record = this.#records.get(vif);
    if (record === undefined || record.phase === 'new') return undefined;
    const index = this.#host.observe().links.ofVif(record.id)?.index;
    const drops = await this.#host.dropsOf(vif);
    const traffic = index === undefined ? undefined : await this.#host.trafficOf(index);
    return record.status(this.#host.observe().links.ofVif(record.id), traffic, drops);
  }

  /** The status of each vif, in order of domid and devid. */
  async status(): Promise<VifStatus[]> {
    const drops = await this.#host.drops();
    // Each of these takes some ms where there are a thousand vifs, and the event loop has its turn in between.
    await nextTurn();
    const traffic = this.#host.traffic();
    await nextTurn();
    const { links } = this.#host.observe();
    return [...this.#records.values()]
      .filter(({ phase }) => phase !== 'new')
      .sort((a, b) => a.id.domid - b.id.domid || a.id.devid - b.id.devid)
      .map((record) => {
        const link = links.ofVif(record.id);
        return record.status(link, link && traffic.get(link.name), drops.get(record.name));
      });
  }

  /** What the netdev of each vif has counted, by the vif's name; the kernel is asked for it. */
  traffic(): ReadonlyMap<string, Traffic> {
    const { links } = this.#host.observe();
    const traffic = this.#host.traffic();
    const counted = [...this.#records.values()].map(({ id, name }): [string, Traffic | undefined] => {
      const link = links.ofVif(id);
      return [name, link && traffic.get(link.name)];
    });
    return new Map(counted.filter((one): one is [string, Traffic] => one[1] !== undefined));
  }

  /** The phase of each vif, from memory. */
  phases(): VifPhase[] {
    return [...this.#records.values()].map(({ phase }) => phase);
  }

  /** The packets that anti-spoofing dropped since each filter was made, by vif and reason. */
  drops(): Promise<ReadonlyMap<string, VifStatus['drops']>> {
    return this.#host.drops();
  }

  /** Reconciliations of vifs, and requests made to xenstore, since the connection began. */
  counts(): { reconciliations: number; xenstoreRequests: number } {
    const { reconciliations } = this.#vifReconciler;
    return { reconciliations, xenstoreRequests: this.#backend.requests };
  }

  /** Ends the work under way and starts no more; the vifs stay as they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#periodicResync.stop();
    await this.#queue.close();
    // After the queue has closed: a job that ended now may have set a timer for its retry.
    for (const record of this.#records.values()) record.sleep();
  }

  #enqueue(
    id: VifId,
    { mustReread = false, changed }: { mustReread?: boolean; changed?: LifeKey } = {},
  ): void {
    const name = vifName(id);
    const record = this.#records.get(name) ?? new VifRecord(id, this.#clock);
    this.#records.set(name, record);
    record.mustReread ||= mustReread;
    if (changed !== undefined) record.changedKeys.add(changed);
    const now = this.#clock.now();
    record.enqueuedAt ??= now;
    // Changes of xenstore are followed at once, unless they have no end; changes of the host when the vif's pause is over.
    const from = mustReread || changed !== undefined ? record.readNotBefore : record.notBefore;
    if (now >= from) this.#queue.add({ vif: name });
    else record.wakeIn(from - now, () => this.#queue.add({ vif: name }));
  }

  /** Takes the vif out of the queue: the events up to now are covered by what was observed just now. */
  #acknowledge(record: VifRecord): void {
    record.enqueuedAt = undefined;
    record.sleep();
    this.#queue.remove({ vif: record.name });
  }

  /** Deletes the record of a vif that is gone. It is of no card any longer: keys that are gone, or of a vif that goes, name none. */
  #forget(record: VifRecord): void {
    record.sleep();
    this.#dependents.set(record, []);
    this.#records.delete(record.name);
  }

  /** The queue's job: reconciles one vif, or lists vifs and enqueues them. Never rejects. */
  async #run(request: Request): Promise<void> {
    if ('vif' in request) {
      const record = this.#records.get(request.vif);
      if (record !== undefined) await this.#vifReconciler.reconcile(record);
      return;
    }
    try {
      if ('listed' in request) await this.#listVifs(undefined, request.listed);
      else await this.#listVifs(request.vifsOf === 'all' ? undefined : request.vifsOf);
    } catch (error) {
      if (this.#backend.isLoss(error)) return this.#lost(error);
      this.#log.error({ err: error }, 'vifs not listed');
      this.#clock.after(listRetryMs, () => this.#queue.add(request));
    }
  }

  /** Reads again what the kernel does not announce; xenstore is left out, since it announces everything. Never rejects. */
  async #resyncHost(): Promise<void> {
    try {
      await this.#host.refresh();
      await this.#removeOrphans();
    } catch (error) {
      this.#log.debug({ err: error }, 'host not read again');
    }
    await this.#dropNotices.tell();
  }

  /**
   * Enqueues the vifs of one domain, or of all: those in xenstore, on the host, in memory, and those that hooks know.
   * @param first those in xenstore, where their keys need not be read again
   */
  async #listVifs(domid: number | undefined, first?: readonly VifId[]): Promise<void> {
    const listed = first ?? (await this.#backend.list(domid));
    const known = [...this.#records.values()].map(({ id }) => id);
    const announced = this.#hooks.vifs().flatMap((name) => parseVifName(name) ?? []);
    const all = [...listed, ...known, ...this.#host.vifsWithState(), ...announced];
    const asked = all.filter((id) => domid === undefined || id.domid === domid);
    const unknown = new Map(asked.map((id) => [vifName(id), id]));
    for (const name of this.#records.keys()) unknown.delete(name);
    const current = new Set([...(first ?? []).map(vifName), ...unknown.keys()]);
    // Which vifs are of one card must be known before the first of them is reconciled.
    await readKeys(this.#backend, [...unknown.values()], (id, keys) => this.#meet(id, keys));
    for (const id of asked) this.#enqueue(id, { mustReread: !current.has(vifName(id)) });
  }

  /** Remembers a vif that is new here with its keys as they are now. */
  #meet(id: VifId, keys: VifSnapshot | undefined): void {
    // An event that came meanwhile has it read by itself.
    if (this.#records.has(vifName(id))) return;
    const record = new VifRecord(id, this.#clock);
    this.#records.set(record.name, record);
    record.mustReread = false;
    record.snapshot = keys;
    this.#cards.set(record, cardOf(keys));
  }

  /**
   * Removes what bears vifd's mark and belongs to no vif, such as proxy entries of a vif that went while no daemon ran.
   * Never rejects.
   */
  async #removeOrphans(): Promise<void> {
    // One at a time, each planned anew: a vif may take an entry over while another is removed.
    const attempted = new Set<string>();
    while (!this.#stopped) {
      const action = planOrphans(this.#host.observe()).find((each) => !attempted.has(printAction(each)));
      if (action === undefined) return;
      const printed = printAction(action);
      attempted.add(printed);
      this.#log.info({ action: printed }, 'left-over removed');
      await this.#host
        .perform(action)
        .catch((error: unknown) => this.#log.warn({ action: printed, err: error }, 'left-over not removed'));
    }
  }
}
