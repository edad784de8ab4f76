import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { notify } from 'node-libsystemd';
import { type WatchEvent, Xenstore } from 'node-xenstore';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { setsNamed } from '../decide/named-sets.js';
import { wantsGuest } from '../decide/topology/registry.js';
import { wantsOffloads } from '../decide/vif-options.js';
import { Hooks } from '../hooks/hooks.js';
import { Blocks } from '../host/blocks.js';
import { Host } from '../host/host.js';
import { scriptStateDir } from '../host/process/scripts.js';
import { blockKey } from '../model/block.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { parseVifName } from '../model/vif-id.js';
import type { BlockReply } from '../model/vif-status.js';
import { ControlServer, type ControlSource } from '../observe/control/server.js';
import { Events } from '../observe/events.js';
import { reportHealth, reportWaiting, type Waiting } from '../observe/health.js';
import type { Metrics } from '../observe/metrics.js';
import { readFirstKeys } from '../reconcile/first-keys.js';
import { Reconciler } from '../reconcile/reconciler.js';
import { RuntimeLock } from '../runtime/lock.js';
import { blocksDirectory, controlSocket, hooksDirectory } from '../runtime/runtime-dir.js';
import { version } from '../runtime/version.js';
import { Backend } from '../xenstore/backend.js';
import { Presence } from '../xenstore/presence.js';

/** Pause in ms between two attempts to connect to a xenstored that went away. */
const reconnectMs = 1000;
/** How long the work under way may take to end when the daemon stops, in ms. */
const stopMs = 3000;
/** How long xenstored may take then to be told that vifd serves no more, in ms. */
const withdrawMs = 1000;

/** How long a vif that is blocked or allowed may take until it is so before that is told instead, in ms. */
const effectMs = 3000;

/** Serves the vifs of this domain. When xenstored goes away, the vifs stay as they are and the daemon connects again. */
export class Daemon implements ControlSource {
  readonly #log: Logger;
  readonly #events: Events;
  readonly #hooks: Hooks;
  readonly #started = new Date();
  readonly #blocks: Blocks;
  #config: Config;
  #domid: number | undefined;
  #reconciler: Reconciler | undefined;
  #host: Host | undefined;
  #metrics: Metrics | undefined;
  #lock: RuntimeLock | undefined;
  #control: ControlServer | undefined;
  /** Why there is no control socket, as logged last; undefined while there is one. */
  #unheard: string | undefined;
  #ready = false;
  /** Why there is no connection to xenstore, as logged last; undefined while there is one. */
  #lost: string | undefined;

  constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.#blocks = Blocks.open(blocksDirectory());
    this.#events = new Events(log);
    this.#hooks = new Hooks({
      directory: () => this.#config.hooks.directory,
      stateDir: hooksDirectory(),
      log,
    });
  }

  /**
   * Runs until `signal` aborts, and leaves the vifs working then. READY=1 is sent when the watch is set and every vif has
   * been reconciled once.
   * @throws when xenstored or the kernel cannot be reached at the start, or another daemon runs
   */
  async run(signal: AbortSignal): Promise<void> {
    const lock = RuntimeLock.take();
    this.#lock = lock;
    try {
      await this.#listen();
      await this.#serveMetrics(this.#config);
      while (!signal.aborted) {
        const waiting = reportWaiting({ isStarting: !this.#ready, silent: () => this.#silent(true) });
        try {
          const xenstore = await orAborted(Xenstore.open(), signal);
          if (xenstore !== undefined) await this.#serve(xenstore, waiting, signal);
        } catch (error) {
          if (!this.#ready) throw error;
          this.#outage(error);
          await sleep(reconnectMs, undefined, { signal }).catch(() => undefined);
        } finally {
          waiting.stop();
        }
      }
    } finally {
      notify('STOPPING=1');
      this.#control?.close();
      lock.release();
      this.#metrics?.close();
      this.#hooks.close();
    }
  }

  /**
   * Takes another configuration over and reconciles every vif; vifs that it does not concern are not touched.
   * @throws when it cannot be used; then the old one stays
   */
  async reload(config: Config): Promise<void> {
    const microseconds = process.hrtime.bigint() / 1000n;
    notify(`RELOADING=1\nMONOTONIC_USEC=${microseconds}`);
    try {
      await this.#serveMetrics(config);
      this.#config = config;
      this.#log.level = config.log.level;
      await this.#host?.followSets(setsNamed(config));
      await this.#reconciler?.reconfigure(config);
    } finally {
      // Also when it failed: until READY=1 systemd takes the service to be reloading (sd_notify(3)).
      if (this.#ready) notify('READY=1');
    }
  }

  /** Makes the control socket, and the directory that it is in, again where somebody has deleted them; without it, such as on a full /run, the vifs do well. */
  async #listen(): Promise<void> {
    try {
      this.#lock?.keep();
      if (this.#control === undefined) this.#control = await ControlServer.listen(this);
      else if (await this.#control.keep())
        this.#log.warn({ path: controlSocket() }, 'control socket lost, made again');
      this.#unheard = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#unheard) this.#log.error({ err: error }, 'no control socket');
      this.#unheard = reason;
    }
  }

  /** Opens, moves or closes the listener of the metrics, by a configuration. */
  async #serveMetrics({ metrics: { listen } }: Config): Promise<void> {
    if (this.#metrics === undefined && listen === undefined) return;
    if (this.#metrics !== undefined && isDeepStrictEqual(listen, this.#config.metrics.listen)) return;
    // Loaded on demand: the library takes a fifth of the daemon's start.
    const { Metrics } = await import('../observe/metrics.js');
    this.#metrics ??= new Metrics({
      follow: (follower) => this.follow(follower),
      phases: () => this.#reconciler?.phases() ?? [],
      connected: () => this.#reconciler !== undefined,
      drops: async () => (await this.#reconciler?.drops()) ?? new Map(),
      traffic: () => (this.#config.metrics.traffic && this.#reconciler?.traffic()) || new Map(),
      counts: () => this.#reconciler?.counts() ?? { reconciliations: 0, xenstoreRequests: 0 },
    });
    await this.#metrics.listen(listen);
  }

  async status(vif?: string): Promise<unknown> {
    if (vif !== undefined) return this.#reconciler?.statusOf(vif);
    const vifs = (await this.#reconciler?.status()) ?? [];
    return {
      version: version(),
      pid: process.pid,
      since: this.#started.toISOString(),
      domid: this.#domid ?? null,
      xenstore: this.#reconciler !== undefined,
      vifs,
    };
  }

  events(vif?: string): ReturnType<Events['recent']> {
    return this.#events.recent(vif);
  }

  follow(follower: Parameters<Events['follow']>[0]): () => void {
    return this.#events.follow(follower);
  }

  async setBlock(vif: string, blocked: boolean, by: string): Promise<BlockReply | { error: string }> {
    const reconciler = this.#reconciler;
    const keys = reconciler?.keysOf(vif);
    const found = keys === undefined ? (blocked ? [] : this.#blocks.named(vif)) : [blockKey(keys)];
    if (found.length === 0)
      return { error: `vifd serves no vif "${vif}"; "vifd status" lists those that it serves` };
    const before = found.every((key) => this.#blocks.all().has(key) === blocked);
    if (keys !== undefined && blocked && !before)
      this.#blocks.add(keys, { vif, since: new Date().toISOString(), by });
    if (!blocked) for (const key of found) this.#blocks.delete(key);
    const ids = [parseVifName(vif)].filter((id) => id !== undefined);
    if (!before) for (const id of ids) this.#events.tell(blocked ? 'blocked' : 'allowed', id, { by });
    const isMeant = (snapshot: VifSnapshot): boolean => found.includes(blockKey(snapshot));
    const late = sleep(effectMs, false, { ref: false });
    const done = await Promise.race([late, reconciler?.reconcileAgain(isMeant).then(() => true)]);
    const vifs = ((await reconciler?.status()) ?? []).filter((one) => {
      const of = reconciler?.keysOf(one.vif);
      return of !== undefined && isMeant(of);
    });
    // What cannot be attached is off the network.
    const isSo = vifs.every(({ state, error }) => state !== 'failed' || (blocked && error !== null));
    return { before, vifs, inEffect: done === true && isSo };
  }

  /** Logs that there is no connection to xenstore, once for each reason, however long it takes. */
  #outage(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason !== this.#lost) this.#log.error({ err: error }, 'xenstore lost');
    this.#lost = reason;
    // The watchdog is fed: a restart of the daemon would not bring xenstored back, and lose the records of the vifs.
    notify(`STATUS=trying to reach xenstore: ${reason}\nWATCHDOG=1`);
  }

  #silent(isSilent: boolean): void {
    if (isSilent) this.#log.warn('xenstored does not answer; the vifs stay as they are');
    else this.#log.info('xenstored answers again');
  }

  /** Serves the vifs over one connection to xenstore until it ends, or `signal` aborts. */
  async #serve(xenstore: Xenstore, waiting: Waiting, signal: AbortSignal): Promise<void> {
    let host: Host | undefined;
    let reconciler: Reconciler | undefined;
    let health: { stop(): void } | undefined;
    let presence: Presence | undefined;
    try {
      const backend = new Backend(xenstore, (keys) => wantsGuest(keys, this.#config));
      // Each wait ends with the signal, because a xenstored that is stopped (SIGSTOP) answers nothing.
      this.#domid = await orAborted(backend.domid(), signal);
      if (this.#domid === undefined) return;
      presence = new Presence(xenstore, version());
      // A daemon that was killed has left its own, and this one does not serve yet.
      if (!this.#ready) await orAborted(presence.withdraw(), signal);
      const events = (await orAborted(backend.watch(), signal))?.[Symbol.asyncIterator]();
      if (events === undefined) return;
      // xenstored fires a new watch once when it is in place; from here on no change is missed.
      await orAborted(events.next(), signal);
      waiting.answered();
      // Read while the kernel is: beside many vifs each takes a good part of the start.
      const firstKeys = orAborted(
        readFirstKeys(backend).catch((error: unknown) => {
          if (backend.isLoss(error)) throw error;
          return undefined;
        }),
        signal,
      );
      // It may reject before it is awaited below.
      firstKeys.catch(() => undefined);
      const config = this.#config;
      host = await Host.open((news, owners) => reconciler?.hostChanged(news, owners), {
        openvswitch: this.#config.openvswitch,
        scripts: {
          directories: () => this.#config.scripts.directories,
          stateDir: scriptStateDir(),
          log: this.#log,
          ended: (id) => reconciler?.scriptEnded(id),
        },
        log: this.#log,
        offloads: wantsOffloads(this.#config),
        sets: setsNamed(this.#config),
        serves: true,
      });
      this.#host = host;
      let lose: (error: unknown) => void = () => undefined;
      const lost = new Promise<never>((_, reject) => {
        lose = reject;
      });
      // It may reject before it is awaited below.
      lost.catch(() => undefined);
      const read = await firstKeys;
      // Which keys are read follows from the configuration, which may have been taken over anew meanwhile.
      const first = config === this.#config ? read : undefined;
      reconciler = new Reconciler({
        backend,
        host,
        config: this.#config,
        log: this.#log,
        events: this.#events,
        hooks: this.#hooks,
        blocks: this.#blocks,
        lost: lose,
      });
      this.#reconciler = reconciler;
      const begun = first === undefined ? reconciler.reconcileAll() : reconciler.begin(first);
      const followed = Promise.race([follow(events, reconciler), lost]);
      await orAborted(Promise.race([begun, followed]), signal);
      if (!signal.aborted) {
        this.#lost = undefined;
        const refusal = await orAborted(presence.keep(), signal);
        if (refusal !== undefined) this.#log.warn({ err: refusal }, 'dom0 is not told that vifd serves');
        this.#log.info({ domid: this.#domid }, 'ready');
        if (!this.#ready) notify('READY=1');
        this.#ready = true;
        const check = async (): Promise<void> => {
          await backend.domid();
          await presence?.keep();
          await this.#listen();
          host?.keepFiles();
        };
        waiting.stop();
        health = reportHealth({
          check,
          probe: probeXenstore,
          phases: () => reconciler?.phases() ?? [],
          silent: (isSilent) => this.#silent(isSilent),
        });
      }
      await orAborted(followed, signal);
    } finally {
      health?.stop();
      if (signal.aborted)
        await Promise.race([presence?.withdraw(), sleep(withdrawMs, undefined, { ref: false })]);
      this.#reconciler = undefined;
      this.#host = undefined;
      // Work that waits for a xenstored which does not answer is left to the next start.
      await Promise.race([reconciler?.stop(), sleep(stopMs, undefined, { ref: false })]);
      host?.close();
      await xenstore.close();
    }
  }
}

/** Asks xenstored something over a connection of its own. */
async function probeXenstore(): Promise<void> {
  const xenstore = await Xenstore.open();
  try {
    await new Backend(xenstore).domid();
  } finally {
    await xenstore.close();
  }
}

/** Passes watch events to the reconciler until they end. */
async function follow(events: AsyncIterator<WatchEvent>, reconciler: Reconciler): Promise<void> {
  for (let event = await events.next(); !event.done; event = await events.next()) {
    reconciler.xenstoreChanged(event.value.path);
  }
}

/** The promise's value, or undefined when the signal aborts first; a later rejection is then ignored. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(undefined);
    if (signal.aborted) abort();
    // Removed below: the signal outlives any number of connections.
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
