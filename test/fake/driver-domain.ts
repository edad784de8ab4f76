import { setImmediate as turn } from 'node:timers/promises';
import pino from 'pino';
import { type Config, parseConfig } from '../../src/config/config.js';
import type { ScriptRun } from '../../src/model/script.js';
import type { VifId } from '../../src/model/vif-id.js';
import type { VifStatus } from '../../src/model/vif-status.js';
import { Reconciler } from '../../src/reconcile/reconciler.js';
import { FakeBackend } from './backend.js';
import { FakeBlocks } from './blocks.js';
import { FakeClock } from './clock.js';
import { FakeEvents } from './events.js';
import { FakeHooks } from './hooks.js';
import { FakeHost } from './host.js';
import type { PlainIp } from './ip-machine.js';
import { type PlainLink, plainLinks } from './machine.js';
import type { PlainSets } from './named-sets.js';
import type { PlainOvs } from './openvswitch-machine.js';

/** More reconciliations than this at one moment of the clock are an endless loop. */
const storm = 500;

/** A driver domain in memory: the reconciler between a fake xenstore and a fake machine. */
export class DriverDomain {
  readonly host: FakeHost;
  readonly backend: FakeBackend;
  readonly clock = new FakeClock(() => this.settle());
  readonly events = new FakeEvents();
  readonly hooks = new FakeHooks();
  readonly blocks = new FakeBlocks();
  readonly reconciler: Reconciler;
  /** The errors with which the reconciler reported that xenstore is lost. */
  readonly losses: unknown[] = [];
  /** The journal: the messages, with their fields. */
  readonly journal: { readonly level: number; readonly msg: string; readonly [field: string]: unknown }[] =
    [];

  /** @param links by default the bridge `xenbr0` and nothing else */
  constructor({
    links = [{ name: 'xenbr0', kind: 'bridge', up: true }],
    ip = {},
    openvswitch,
    scripts = new Map(),
    sets = {},
    config = '',
    backend = new FakeBackend(),
  }: {
    links?: readonly PlainLink[];
    ip?: PlainIp;
    openvswitch?: PlainOvs;
    scripts?: ReadonlyMap<string, ScriptRun>;
    sets?: PlainSets;
    config?: string;
    backend?: FakeBackend;
  } = {}) {
    this.host = new FakeHost({ links: plainLinks(links), ip, openvswitch, scripts, sets });
    this.backend = backend;
    this.reconciler = new Reconciler({
      backend,
      host: this.host,
      config: configOf(config),
      log: pino(
        { level: 'debug', base: null },
        { write: (line: string) => void this.journal.push(JSON.parse(line)) },
      ),
      events: this.events,
      hooks: this.hooks,
      blocks: this.blocks,
      lost: (error) => void this.losses.push(error),
      clock: this.clock,
      random: () => 0.5,
    });
    this.host.listener = this.reconciler;
    backend.listener = (path) => this.reconciler.xenstoreChanged(path);
  }

  /** Reconciles everything once, as the daemon does when it starts. */
  async start(): Promise<void> {
    await this.reconciler.reconcileAll();
    await this.settle();
  }

  /** dom0 and netback make a vif; resolves when everything that follows at once is done. */
  async birth(
    id: VifId,
    keys: Readonly<Record<string, string>> = {},
    link: Partial<PlainLink> = {},
  ): Promise<void> {
    this.backend.create(id, { bridge: 'xenbr0', ...keys });
    this.host.add({ name: `vif${id.domid}.${id.devid}`, ...link });
    await this.settle();
  }

  /** Waits, without turning the clock, until nothing more happens. @throws when that does not end */
  async settle(): Promise<void> {
    const begun = this.reconciliations;
    for (let before = -1; before !== this.#activity; ) {
      before = this.#activity;
      // An event is delivered in one turn, and the vif that it enqueues is reconciled in the next.
      for (let turns = 0; turns < 4; turns++) await turn();
      if (this.reconciliations - begun > storm)
        throw new Error(`it does not settle: ${storm} reconciliations at one moment`);
    }
  }

  /** Turns the clock by so many ms, and waits until everything that is due meanwhile is done. */
  pass(ms: number): Promise<void> {
    return this.clock.pass(ms);
  }

  /** Reconciliations of vifs so far. */
  get reconciliations(): number {
    return this.reconciler.counts().reconciliations;
  }

  /** Reconciliations of vifs while some work is done. */
  async reconciliationsDuring(work: () => Promise<void>): Promise<number> {
    const before = this.reconciliations;
    await work();
    return this.reconciliations - before;
  }

  /** The reconciler's status of one vif. */
  async status(id: VifId): Promise<VifStatus | undefined> {
    return (await this.reconciler.status()).find((one) => one.domid === id.domid && one.devid === id.devid);
  }

  /** `hotplug-status` and `hotplug-error` of a vif. */
  told({ domid, devid }: VifId): { status: string | undefined; error: string | undefined } {
    const keys = this.backend.keys({ domid, devid });
    return { status: keys?.['hotplug-status'], error: keys?.['hotplug-error'] };
  }

  get #activity(): number {
    return this.reconciliations + this.backend.requests + this.host.performed.length + this.host.refreshes;
  }
}

/** A configuration file's text as the daemon reads it. */
export const configOf = (text: string): Config => parseConfig(text, 'vifd.toml');
