import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { notify } from 'node-libsystemd';
import { type WatchEvent, Xenstore } from 'node-xenstore';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import { Backend } from './host/backend.js';
import { Host } from './host/host.js';
import { Reconciler } from './reconcile/reconciler.js';

/** Pause between two attempts to reach a xenstored that went away. */
const reconnectMs = 1000;
/** How long the work under way may take to end when the daemon stops. */
const stopMs = 3000;

/**
 * Serves the vifs of this domain until `signal` aborts, and leaves them working then. READY=1 is sent when the watch is
 * set and every vif that is there has been seen to. Should xenstored go away, the vifs stay as they are and it is
 * looked for again.
 * @throws when xenstored or the kernel cannot be reached at the start
 */
export async function runDaemon(config: Config, log: Logger, signal: AbortSignal): Promise<void> {
  let first = true;
  while (!signal.aborted) {
    try {
      const xenstore = await Xenstore.open();
      await serve(xenstore, config, log, signal, () => {
        if (first) notify('READY=1');
        first = false;
      });
    } catch (error) {
      if (first) throw error;
      log.error({ err: error }, 'xenstore lost');
      await sleep(reconnectMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Serves one connection until it ends, or `signal` aborts. */
async function serve(
  xenstore: Xenstore,
  config: Config,
  log: Logger,
  signal: AbortSignal,
  ready: () => void,
): Promise<void> {
  const backend = new Backend(xenstore);
  let reconciler: Reconciler | undefined;
  const host = await Host.open((names) => reconciler?.linksChanged(names));
  try {
    reconciler = new Reconciler({ backend, host, config, log });
    const watch = await backend.watch();
    const events = watch[Symbol.asyncIterator]();
    // A new watch fires once for itself: it is in place, and from here on nothing is missed.
    await events.next();
    const followed = follow(events, reconciler);
    await Promise.race([reconciler.sweep(), followed, aborted(signal)]);
    if (!signal.aborted) {
      log.info({ domid: await backend.domid() }, 'ready');
      ready();
    }
    await Promise.race([followed, aborted(signal)]);
  } finally {
    // A xenstored that does not answer must not keep us: what is under way then is finished by the next start.
    await Promise.race([reconciler?.stop(), sleep(stopMs, undefined, { ref: false })]);
    host.close();
    await xenstore.close();
  }
}

/** Passes watch events on for as long as they come. */
async function follow(events: AsyncIterator<WatchEvent>, reconciler: Reconciler): Promise<void> {
  for (let event = await events.next(); !event.done; event = await events.next()) {
    reconciler.xenstoreChanged(event.value.path);
  }
}

const aborted = (signal: AbortSignal): Promise<unknown> =>
  signal.aborted ? Promise.resolve() : once(signal, 'abort');
