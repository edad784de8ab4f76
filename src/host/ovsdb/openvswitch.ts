import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { OvsAction } from '../../model/action.js';
import { type News, netdev } from '../../model/dependency.js';
import type { OvsBridge, OvsPort, OvsView } from '../../model/ovs-port.js';
import { Ovsdb } from './connection.js';
import { OpenVswitchSwitch } from './openvswitch-switch.js';
import { monitoredColumns, OvsdbTables } from './tables.js';
import { countConfiguration, ovsDatabaseName, transaction } from './transactions.js';

/** First and longest pause before the next attempt to connect, in ms; each is twice the one before. */
const reconnectMs = { first: 100, longest: 1000 };

/** How long ovs-vswitchd may take to release a netdev, in ms; and where it is not known to run, or to have found its database. */
const releaseMs = { follows: 2000, unknown: 100 };

/** Called with the bridges, ports and interfaces that changed, and the names of the vifs whose ports did. */
export type OvsListener = (news: readonly News[], owners: readonly string[]) => void;

/**
 * Open vSwitch's database: a view of it, kept current by notifications, and its changes. From {@link start} on, a
 * connection that is lost is opened again.
 */
export class OpenVswitch implements OvsView {
  readonly database: string;
  switchRuns = true;
  readonly #path: string;
  readonly #listener: OvsListener;
  readonly #log: Logger | undefined;
  readonly #stopping = new AbortController();
  #tables: OvsdbTables | undefined;
  #connection: Ovsdb | undefined;
  #switch: OpenVswitchSwitch | undefined;
  #running: Promise<void> | undefined;
  #wasTried = false;
  #configurationInEffect: (() => void)[] = [];
  /**
   * The names of ports that were deleted, to be made for another netdev, while ovs-vswitchd had not found its database, each with
   * its process at that time.
   */
  readonly #deletedUnseen = new Map<string, string | undefined>();
  /** Those of them that it has as they were before: it tells ports by their names, and goes on with a netdev that is gone. */
  readonly #stale = new Set<string>();

  /** @param database `unix:` and the path of the server's socket */
  constructor(database: string, listener: OvsListener, log?: Logger) {
    this.database = database;
    this.#path = database.replace(/^unix:/, '');
    this.#listener = listener;
    this.#log = log;
  }

  /**
   * Connects once where the server's socket exists, so that ports of an earlier run are seen; resolves after the attempt.
   * A machine without Open vSwitch costs nothing.
   */
  async begin(): Promise<void> {
    if (existsSync(this.#path)) await this.start();
  }

  get switchFollows(): boolean {
    return this.#switch?.follows ?? true;
  }

  /** Keeps a connection open from now on; resolves after the first attempt. */
  start(): Promise<void> {
    this.#running ??= new Promise((tried) => void this.#run(tried));
    return this.#running;
  }

  get state(): OvsView['state'] {
    if (this.#tables !== undefined) return 'known';
    return this.#wasTried ? 'unreachable' : 'unknown';
  }

  bridge(name: string): OvsBridge | undefined {
    return this.#tables?.bridge(name);
  }

  port(name: string): OvsPort | undefined {
    const port = this.#tables?.port(name);
    return port && this.#asMade(port);
  }

  bridges(): Iterable<OvsBridge> {
    return this.#tables?.bridges() ?? [];
  }

  ports(): Iterable<OvsPort> {
    const ports = this.#tables?.ports() ?? [];
    return this.#stale.size === 0 ? ports : [...ports].map((port) => this.#asMade(port));
  }

  /** Performs one action in one transaction; its effect is in the view when this resolves. */
  async perform(action: OvsAction): Promise<void> {
    if (this.#connection === undefined) throw new Error(`database ${this.database} not reachable`);
    const isRelease = action.kind === 'ovs-delete-port' && action.release;
    const follows = this.#switch?.follows === true;
    const results = await this.#connection.transact(ovsDatabaseName, [
      ...transaction(action),
      ...(isRelease ? countConfiguration : []),
    ]);
    if (action.kind !== 'ovs-delete-port') return;
    const { name } = action.port;
    this.#stale.delete(name);
    if (!isRelease) return;
    // A switch that does not run lets nothing go, and one that has lost its database does not until it has found it again, which may be
    // while this waits.
    if (!follows) this.#deletedUnseen.set(name, this.#switchProcess);
    const configuration = Number(results.at(-1)?.rows?.[0]?.next_cfg ?? 0);
    if (!(await this.#inEffect(configuration, follows ? releaseMs.follows : releaseMs.unknown))) return;
    this.#deletedUnseen.delete(name);
    this.#stale.delete(name);
  }

  close(): void {
    this.#stopping.abort();
    this.#connection?.close();
  }

  async #run(tried: () => void): Promise<void> {
    const { signal } = this.#stopping;
    let pause = reconnectMs.first;
    let isMissed = false;
    while (!signal.aborted) {
      const reason = await this.#serve(() => {
        if (isMissed) this.#log?.info({ database: this.database }, 'openvswitch database reached');
        isMissed = false;
        pause = reconnectMs.first;
        tried();
      }).catch((error: Error) => error.message);
      this.#wasTried = true;
      if (signal.aborted) break;
      if (!isMissed) {
        isMissed = true;
        this.#log?.warn({ database: this.database, error: reason }, 'openvswitch database not reachable');
        this.#listener([{ kind: 'openvswitch' }], []);
      }
      tried();
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined);
      pause = Math.min(2 * pause, reconnectMs.longest);
    }
    tried();
  }

  /** Connects and follows the database until the connection ends. @returns why it ended */
  async #serve(connected: () => void): Promise<string> {
    const tables = new OvsdbTables();
    // An update may arrive in one piece with the reply before it, and is then handled before that reply.
    const early: unknown[] = [];
    const connection = await Ovsdb.connect(this.#path, {
      updated: (updates) => {
        if (this.#tables === tables) this.#apply(tables, updates);
        else early.push(updates);
      },
      locked: () => vswitchd?.locked(),
    });
    const vswitchd = new OpenVswitchSwitch(
      connection,
      (runs) => {
        this.switchRuns = runs;
        this.#listener([{ kind: 'openvswitch' }], []);
      },
      (isAnew) => this.#switchFound(isAnew),
    );
    this.switchRuns = true;
    // Its first answer comes before that of the monitor, so that what follows knows whether the switch has its lock.
    void vswitchd.follow();
    try {
      const requests = Object.entries(monitoredColumns).map(([table, columns]) => [table, { columns }]);
      const everything = await connection.request('monitor', [
        ovsDatabaseName,
        null,
        Object.fromEntries(requests),
      ]);
      if (this.#stopping.signal.aborted) return 'closed';
      const { owners } = tables.apply(everything);
      for (const updates of early) tables.apply(updates);
      this.#connection = connection;
      this.#switch = vswitchd;
      this.#tables = tables;
      this.#wasTried = true;
      connected();
      this.#listener([{ kind: 'openvswitch' }], owners);
      return await connection.ended;
    } finally {
      connection.close();
      this.#connection = undefined;
      this.#switch = undefined;
      this.#tables = undefined;
    }
  }

  /** A port as ovs-vswitchd has it: one that it has as it was before is made for no netdev that there is. */
  #asMade(port: OvsPort): OvsPort {
    return this.#stale.has(port.name) ? { ...port, madeFor: undefined } : port;
  }

  /**
   * What was deleted and made anew unseen is made anew once more, unless ovs-vswitchd was started since and has read it as it is; vifs
   * that waited for the switch wait no longer.
   */
  #switchFound(isAnew: boolean): void {
    if (isAnew) this.#listener([{ kind: 'openvswitch' }], []);
    const now = this.#switchProcess;
    const names = [...this.#deletedUnseen].flatMap(([name, before]) => (before === now ? [name] : []));
    this.#deletedUnseen.clear();
    for (const name of names) this.#stale.add(name);
    if (names.length > 0) this.#listener(names.map(netdev), []);
  }

  /** The process that ovs-vswitchd has last written into its pid file, beside the socket of its database; undefined where it has none. */
  get #switchProcess(): string | undefined {
    try {
      return readFileSync(join(dirname(this.#path), 'ovs-vswitchd.pid'), 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  #apply(tables: OvsdbTables, updates: unknown): void {
    const { names, owners } = tables.apply(updates);
    for (const resolve of this.#configurationInEffect.splice(0)) resolve();
    if (names.length > 0) this.#listener(names.map(netdev), owners);
  }

  /** Resolves when ovs-vswitchd has put this configuration into effect, or after so long. @returns whether it has */
  async #inEffect(configuration: number, withinMs: number): Promise<boolean> {
    const late = sleep(withinMs, true, { ref: false });
    while (this.#tables !== undefined && this.#tables.currentConfiguration < configuration) {
      const changed = new Promise<void>((resolve) => this.#configurationInEffect.push(resolve));
      if (await Promise.race([late, changed])) return false;
    }
    return this.#tables !== undefined;
  }
}
