import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type ErrorCode, errorCodes } from '../model/error-codes.js';
import type { Listen } from '../model/listen.js';
import { topologyNames } from '../model/topology-name.js';
import type { VifPhase } from '../model/vif-status.js';
import type { VifEvent } from './events.js';

/** The state that the metrics are made of, read at each scrape. */
export interface MetricsSource {
  follow(follower: (event: VifEvent) => void): () => void;
  phases(): readonly VifPhase[];
  /** Whether xenstore can be reached. */
  connected(): boolean;
  /** Packets that anti-spoofing dropped, by vif and reason. */
  drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>;
  /** Reconciliations of vifs and requests to xenstore since the connection to it began. */
  counts(): { readonly reconciliations: number; readonly xenstoreRequests: number };
}

/** Upper bounds of the attach histogram, in seconds, up to the 10 s that libxl waits for a backend. */
const attachBuckets = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.256, 1, 4, 10];

const phases: readonly VifPhase[] = ['new', 'waiting', 'attached', 'failed', 'closing'];

/** Timeouts in ms after which a connection without a request is closed; by default Node checks only every 30 s. */
const httpLimits = { requestTimeout: 5000, headersTimeout: 5000, connectionsCheckingInterval: 2000 };
const maxConnections = 32;

/** Prometheus metrics of the daemon, at `/metrics` of a listener of their own. Counters of events start at 0 with it. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #unfollow: () => void;
  #scrape: Promise<string> | undefined;
  #listener: { readonly server: Server; readonly listen: Listen } | undefined;

  constructor(source: MetricsSource) {
    this.#unfollow = source.follow(instruments(this.#registry, source));
  }

  /**
   * Listens at this address instead of the last one; undefined for none.
   * @throws when the address cannot be listened on; then the last one stays
   */
  async listen(listen: Listen | undefined): Promise<void> {
    const before = this.#listener?.listen;
    // Closed before opening: the new address may overlap the old one.
    this.#closeListener();
    try {
      if (listen !== undefined) await this.#open(listen);
    } catch (error) {
      if (before !== undefined) await this.#open(before).catch(() => undefined);
      throw error;
    }
  }

  close(): void {
    this.#unfollow();
    this.#closeListener();
  }

  async #open(listen: Listen): Promise<void> {
    const server = createServer(httpLimits, (request, response) => this.#respond(request, response));
    server.maxConnections = maxConnections;
    if ('path' in listen) removeSocket(listen.path);
    server.listen(listen);
    await once(server, 'listening');
    this.#listener = { server, listen };
  }

  #respond(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end('the metrics are at /metrics\n');
      return;
    }
    // Scrapes at the same moment have one answer: of hundreds of vifs it takes a tenth of a second.
    this.#scrape ??= this.#registry.metrics().finally(() => {
      this.#scrape = undefined;
    });
    this.#scrape.then(
      (text) => response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(`${String(error)}\n`),
    );
  }

  #closeListener(): void {
    if (this.#listener === undefined) return;
    const { server, listen } = this.#listener;
    this.#listener = undefined;
    server.close();
    server.closeAllConnections();
    if ('path' in listen) removeSocket(listen.path);
  }
}

/** Removes a socket that an earlier run left; any other file at the path stays. */
function removeSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path, { force: true });
}

/** Registers the instruments. @returns the function to call with each event */
function instruments(registry: Registry, source: MetricsSource): (event: VifEvent) => void {
  const registers = [registry];
  // Node's own: the event loop's lag, memory, CPU and garbage collection.
  collectDefaultMetrics({ register: registry });
  // Gauges, though named _total like counters; nodejs_active_handles and so on have the same numbers by kind.
  for (const what of ['handles', 'requests', 'resources']) {
    registry.removeSingleMetric(`nodejs_active_${what}_total`);
  }
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
  new Gauge({
    name: 'vifd_xenstore_connected',
    help: 'Whether xenstore can be reached; without it nothing new is attached, and no vif is counted',
    registers,
    collect() {
      this.set(source.connected() ? 1 : 0);
    },
  });
  counterOf('vifd_reconciles_total', 'Reconciliations of vifs', () => source.counts().reconciliations);
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
      const now = await source.drops();
      this.reset();
      for (const [vif, drops] of now) {
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
    help: 'What happened to vifs: attached, adopted, repaired (drift), updated, degraded, recovered, failed, removed',
    labelNames: ['kind', 'topology'],
    registers,
  });
  const errors = new Counter({
    name: 'vifd_errors_total',
    help: 'Errors that kept vifs from being attached, by what they are about and which they are',
    labelNames: ['kind', 'code'],
    registers,
  });
  // All series exist from the start with 0: rate() and increase() miss the first event of a series that begins with 1.
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    errors.inc({ kind: errorCodes[code].kind, code }, 0);
  }
  for (const topology of [...topologyNames, 'script']) {
    attach.zero({ topology });
    for (const kind of ['attached', 'adopted', 'repaired', 'updated']) events.inc({ kind, topology }, 0);
  }
  for (const kind of ['degraded', 'recovered', 'failed', 'removed'])
    events.inc({ kind, topology: 'none' }, 0);
  return ({ kind, topology = 'none', ms, errorKind, errorCode }) => {
    events.inc({ kind, topology });
    if (errorKind !== undefined && errorCode !== undefined) errors.inc({ kind: errorKind, code: errorCode });
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
