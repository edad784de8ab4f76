import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Domnet, Vifd } from '../net/domnet.js';
import { XenstoredProxy } from '../store/xenstored-proxy.js';
import { Probe, type Span } from './probe.js';

/** What a vifd did: looks at vifs, requests to rtnetlink, transactions of nf_tables, messages to xenstored. */
export interface Counts {
  readonly looks: number;
  readonly netlink: number;
  readonly nft: number;
  readonly messages: number;
}

/** Longer than vifd waits before it looks at its own writes, in ms. */
const quietMs = 350;

/** A vifd whose work is counted. */
export class Counting {
  readonly daemon: Vifd;
  readonly probe: Probe;
  readonly #proxy: XenstoredProxy;

  private constructor(daemon: Vifd, probe: Probe, proxy: XenstoredProxy) {
    this.daemon = daemon;
    this.probe = probe;
    this.#proxy = proxy;
  }

  static async start(domnet: Domnet, config?: string): Promise<Counting> {
    const probe = new Probe(domnet.dir);
    const socket = join(domnet.dir, 'xenstored');
    const proxy = await XenstoredProxy.start(socket, domnet.xenstored.socketPath);
    domnet.atEnd(async () => proxy.stop());
    const daemon = await domnet.vifd({
      env: { ...probe.env, XENSTORED_PATH: socket },
      ...(config !== undefined && { config }),
    });
    return new Counting(daemon, probe, proxy);
  }

  /** What it does because of this, until it does nothing any more. */
  async during(work: () => Promise<unknown>): Promise<Counts> {
    await this.quiet();
    const before = this.#proxy.requests;
    await work();
    const spans = await this.quiet();
    const count = (kind: Span['kind']): number => spans.filter((span) => span.kind === kind).length;
    return {
      looks: count('look'),
      netlink: count('netlink'),
      nft: count('nft'),
      messages: this.#proxy.requests - before,
    };
  }

  async stop(): Promise<void> {
    await this.daemon.terminate();
    this.#proxy.stop();
  }

  /** Waits until it does nothing for so many ms. @returns what it has done since this was called last */
  async quiet(forMs = quietMs): Promise<Span[]> {
    const all: Span[] = [];
    for (let isQuiet = false; !isQuiet; ) {
      const { length } = all;
      await sleep(forMs);
      all.push(...(await this.probe.take()).spans);
      isQuiet = all.length === length;
    }
    return all;
  }
}
