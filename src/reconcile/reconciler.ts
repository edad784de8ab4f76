import type { Logger } from 'pino';
import { dependencyKey, type News } from '../model/dependency.js';
import { vifOfLink } from '../model/observed.js';
import type { VifPolicy } from '../model/policy.js';
import { vifKeys } from '../model/snapshot.js';
import { parseBackendPath, parseVifName, type VifId, vifName } from '../model/vif-id.js';
import type { VifPhase, VifStatus } from '../model/vif-status.js';
import { planOrphans } from '../plan/orphans.js';
import { printAction } from '../plan/print/print.js';
import { Notifier } from './notifier.js';
import { PeriodicResync } from './periodic-resync.js';
import type { BackendPort, Clock, EventsPort, HooksPort, HostPort } from './ports/ports.js';
import { systemClock } from './system-clock.js';
import { VifReconciler } from './vif-reconciler.js';
import { VifRecord } from './vif-record.js';
import { WorkQueue } from './work-queue.js';

/** Keys which vifd writes itself. A look at their events is not urgent: mostly they are its own. */
const ownKeys = new Set(['hotplug-status', 'hotplug-error']);
const ownKeyDelayMs = 200;

/** Pause before vifs are listed again when that failed. */
const listRetryMs = 1000;

/** What the queue holds: a look at a vif, or at all vifs of a domain, or of all domains. */
type Request = { readonly vif: string } | { readonly vifsOf: number | 'all' };

const keyOf = (request: Request): string => ('vif' in request ? request.vif : `vifs of ${request.vifsOf}`);

const decisiveKeys: ReadonlySet<string> = new Set(['', ...vifKeys]);

/**
 * Makes every vif what it should be. Events only say which vif to look at; what to do follows from what is there, so
 * that birth, change, repair, restart and death are one path.
 */
export class Reconciler {
  readonly #backend: BackendPort;
  readonly #host: HostPort;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #lost: (error: unknown) => void;
  readonly #vifReconciler: VifReconciler;
  readonly #records = new Map<string, VifRecord>();
  readonly #queue: WorkQueue<Request>;
  readonly #periodicResync: PeriodicResync;
  #stopped = false;

  /** @param parts.lost told that xenstore is gone, or was started anew and is empty */
  constructor(deps: {
    backend: BackendPort;
    host: HostPort;
    config: VifPolicy;
    log: Logger;
    events: EventsPort;
    hooks: HooksPort;
    lost: (error: unknown) => void;
    clock?: Clock;
  }) {
    const { clock = systemClock } = deps;
    this.#backend = deps.backend;
    this.#host = deps.host;
    this.#log = deps.log;
    this.#clock = clock;
    this.#lost = deps.lost;
    this.#vifReconciler = new VifReconciler(deps.config, {
      ...deps,
      clock,
      notifier: new Notifier(deps.events, deps.hooks),
      enqueue: ({ id }, options) => this.#enqueue(id, options),
      answered: (record) => this.#answered(record),
      forget: (record) => this.#forget(record),
    });
    this.#queue = new WorkQueue((request: Request) => this.#run(request), keyOf);
    this.#periodicResync = new PeriodicResync(() => this.#resyncHost(), clock);
  }

  /** Looks at every vif there is in xenstore, on the host or in memory, and resolves when all have been seen to. */
  async reconcileAll(): Promise<void> {
    this.#queue.add({ vifsOf: 'all' });
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
      if (!ownKeys.has(subject.key)) this.#enqueue(subject.id, { mustReread: true });
      else
        this.#clock.after(ownKeyDelayMs, () => {
          const record = this.#records.get(vifName(subject.id));
          // A try that is due reads them anyway. Mostly it is its own error that this is about: one of another text each time would cause the next try.
          if (record !== undefined && record.retryAt <= this.#clock.now())
            this.#enqueue(subject.id, { mustReread: true });
        });
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
    const keys = news.map(dependencyKey);
    for (const { id, dependsOn } of this.#records.values()) if (dependsOn.concern(keys)) this.#enqueue(id);
  }

  /** An operator's script has ended: what it wrote to xenstore is news too. */
  scriptEnded(id: VifId): void {
    this.#enqueue(id, { mustReread: true });
  }

  /** From now on decides by this configuration; every vif is looked at again. */
  async reconfigure(config: VifPolicy): Promise<void> {
    this.#vifReconciler.config = config;
    await this.reconcileAll();
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
    return { looks: this.#vifReconciler.reconciliations, xenstoreRequests: this.#backend.requests };
  }

  /** Ends the work under way and starts no more; the vifs stay as they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#periodicResync.stop();
    await this.#queue.close();
    // Afterwards: what ended now may have set a time to be tried again.
    for (const record of this.#records.values()) record.sleep();
  }

  #enqueue(id: VifId, { mustReread = false } = {}): void {
    const name = vifName(id);
    const record = this.#records.get(name) ?? new VifRecord(id, this.#clock);
    this.#records.set(name, record);
    record.mustReread ||= mustReread;
    const now = this.#clock.now();
    record.enqueuedAt ??= now;
    // dom0's word is followed at once, an event of the machine when the vif's pause is over.
    if (mustReread || now >= record.notBefore) this.#queue.add({ vif: name });
    else record.wakeIn(record.notBefore - now, () => this.#queue.add({ vif: name }));
  }

  #answered(record: VifRecord): void {
    record.enqueuedAt = undefined;
    record.sleep();
    this.#queue.remove({ vif: record.name });
  }

  #forget(record: VifRecord): void {
    record.sleep();
    this.#records.delete(record.name);
  }

  /** The queue's job: a look at one vif, or at all vifs there are. Never rejects. */
  async #run(request: Request): Promise<void> {
    if ('vif' in request) {
      const record = this.#records.get(request.vif);
      if (record !== undefined) await this.#vifReconciler.reconcile(record);
      return;
    }
    try {
      await this.#listVifs(request.vifsOf === 'all' ? undefined : request.vifsOf);
    } catch (error) {
      if (this.#backend.isLoss(error)) return this.#lost(error);
      this.#log.error({ err: error }, 'survey failed');
      this.#clock.after(listRetryMs, () => this.#queue.add(request));
    }
  }

  /** Reads the host again, and has every vif looked at; xenstore announces everything by itself. Never rejects. */
  async #resyncHost(): Promise<void> {
    await this.#host
      .refresh()
      .then(() => this.#removeOrphans())
      .catch((error: unknown) => this.#log.debug({ err: error }, 'host not read again'));
  }

  /** Marks the vifs of one domain, or of all: those in xenstore, on the host and in memory. */
  async #listVifs(domid: number | undefined): Promise<void> {
    const listed = await this.#backend.list(domid);
    const known = [...this.#records.values()].map(({ id }) => id);
    for (const id of [...listed, ...known, ...this.#host.vifsWithState()]) {
      if (domid === undefined || id.domid === domid) this.#enqueue(id, { mustReread: true });
    }
  }

  /**
   * Removes what bears our mark and belongs to no vif, such as the proxy entries of a vif that went while no daemon ran.
   * Never rejects.
   */
  async #removeOrphans(): Promise<void> {
    // One at a time, each planned anew: a vif may take it while another is removed.
    const tried = new Set<string>();
    while (!this.#stopped) {
      const action = planOrphans(this.#host.observe()).find((each) => !tried.has(printAction(each)));
      if (action === undefined) return;
      const printed = printAction(action);
      tried.add(printed);
      this.#log.info({ action: printed }, 'left-over removed');
      await this.#host
        .perform(action)
        .catch((error: unknown) => this.#log.warn({ action: printed, err: error }, 'left-over not removed'));
    }
  }
}
