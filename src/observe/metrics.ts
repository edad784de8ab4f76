import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Registry } from 'prom-client';
import type { Listen } from '../model/listen.js';
import { type MetricsSource, registerMetrics } from './instruments.js';
import { limitRequests, withoutChecks } from './request-limits.js';

const maxConnections = 32;
/**
 * An answer that took `fromMs` of CPU or more is given again for `times` as long, but no longer than `longestMs`: any number of
 * scrapers costs a tenth of a CPU at most.
 */
const again = { fromMs: 100, times: 10, longestMs: 5000 };

/** Prometheus metrics of the daemon, at `/metrics` of a listener of their own. Counters of events start at 0 with it. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #unfollow: () => void;
  #scrape: Promise<string> | undefined;
  /** The last answer, and until when it is given again, by the clock of `performance.now()`. */
  #last: { readonly text: string; readonly until: number } | undefined;
  #listener: { readonly server: Server; readonly listen: Listen } | undefined;

  constructor(source: MetricsSource) {
    this.#unfollow = source.follow(registerMetrics(this.#registry, source));
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
    const server = createServer(withoutChecks, (request, response) => this.#respond(request, response));
    limitRequests(server);
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
    this.#answer().then(
      (text) => response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(`${String(error)}\n`),
    );
  }

  /** The text of all metrics; one for scrapes at the same moment, and for seconds where there are hundreds of vifs. */
  #answer(): Promise<string> {
    if (this.#last !== undefined && performance.now() < this.#last.until)
      return Promise.resolve(this.#last.text);
    this.#scrape ??= this.#read().finally(() => {
      this.#scrape = undefined;
    });
    return this.#scrape;
  }

  async #read(): Promise<string> {
    const before = process.cpuUsage();
    const text = await this.#registry.metrics();
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    const keptMs = ms < again.fromMs ? 0 : Math.min(again.times * ms, again.longestMs);
    this.#last = { text, until: performance.now() + keptMs };
    return text;
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
