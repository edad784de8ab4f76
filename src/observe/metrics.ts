import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Listen } from '../config.js';
import type { VifPhase } from '../reconcile/vif-record.js';
import type { VifEvent } from './events.js';

/** What the metrics are read from when they are asked for. */
export interface MetricsSource {
  follow(follower: (event: VifEvent) => void): () => void;
  phases(): readonly VifPhase[];
  /** What anti-spoofing dropped, by vif and reason. */
  drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>;
  /** Looks taken and requests made since the start. */
  counts(): { readonly looks: number; readonly xenstoreRequests: number };
}

/** Upper bounds of the attach histogram, in seconds: around a millisecond in steps, then to libxl's patience of 10 s. */
const attachBuckets = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.256, 1, 4, 10];

const phases: readonly VifPhase[] = ['new', 'waiting', 'attached', 'failed', 'closing'];

/** Prometheus metrics of the daemon, at `/metrics` of a listener of their own. Off unless configured. */
export class Metrics {
  readonly #server: Server;
  readonly #unfollow: () => void;
  readonly #path: string | undefined;

  private constructor(source: MetricsSource, listen: Listen) {
    const registry = new Registry();
    this.#path = 'path' in listen ? listen.path : undefined;
    this.#unfollow = source.follow(instruments(registry, source));
    this.#server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (asked, answer) => {
      if (asked.method !== 'GET' || asked.url?.split('?')[0] !== '/metrics') {
        answer.writeHead(404).end('the metrics are at /metrics\n');
        return;
      }
      registry.metrics().then(
        (text) => answer.writeHead(200, { 'content-type': registry.contentType }).end(text),
        (error: unknown) => answer.writeHead(500).end(`${String(error)}\n`),
      );
    });
  }

  /** @throws when the address cannot be listened on */
  static async listen(source: MetricsSource, listen: Listen): Promise<Metrics> {
    const metrics = new Metrics(source, listen);
    if ('path' in listen) rmSync(listen.path, { force: true });
    metrics.#server.listen(listen);
    try {
      await once(metrics.#server, 'listening');
    } catch (error) {
      metrics.#unfollow();
      throw error;
    }
    return metrics;
  }

  close(): void {
    this.#unfollow();
    this.#server.close();
    this.#server.closeAllConnections();
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
  }
}

/** Makes the instruments. @returns what feeds those that count events */
function instruments(registry: Registry, source: MetricsSource): (event: VifEvent) => void {
  const registers = [registry];
  // The event loop's lag, memory, CPU and garbage collection.
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'vifd_vifs',
    help: 'Vifs by state',
    labelNames: ['state'],
    registers,
    collect() {
      const now = source.phases();
      for (const state of phases) this.set({ state }, now.filter((phase) => phase === state).length);
    },
  });
  counterOf('vifd_reconciles_total', 'Looks taken at a vif', () => source.counts().looks);
  counterOf(
    'vifd_xenstore_requests_total',
    'Round trips to xenstore',
    () => source.counts().xenstoreRequests,
  );
  new Counter({
    name: 'vifd_antispoof_drops_total',
    help: 'Frames and packets of guests that anti-spoofing dropped, since the filter was made',
    labelNames: ['vif', 'reason'],
    registers,
    async collect() {
      this.reset();
      for (const [vif, drops] of await source.drops()) {
        for (const [reason, count] of Object.entries(drops)) this.inc({ vif, reason }, count);
      }
    },
  });
  const attach = new Histogram({
    name: 'vifd_attach_seconds',
    help: 'From the event that made attaching possible to the status written',
    labelNames: ['topology'],
    buckets: attachBuckets,
    registers,
  });
  const events = new Counter({
    name: 'vifd_events_total',
    help: 'What happened to vifs: attached, adopted, repaired (drift), updated, failed, removed',
    labelNames: ['kind', 'topology'],
    registers,
  });
  return ({ kind, topology = 'none', ms }) => {
    events.inc({ kind, topology });
    if (kind === 'attached' && ms !== undefined) attach.observe({ topology }, ms / 1000);
  };

  function counterOf(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }
}
