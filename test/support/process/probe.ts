import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('probe.mjs', import.meta.url));
const dist = fileURLToPath(new URL('../../../dist', import.meta.url));

/** What vifd waited for: a look at a vif, a request to rtnetlink, a listing of connections, a transaction of nf_tables, or a hop to xenstore's thread. */
export interface Span {
  readonly kind: 'look' | 'netlink' | 'conntrack' | 'nft' | 'xenstore';
  /** In ms since 1970, with fractions. */
  readonly from: number;
  readonly to: number;
}

/** What a probed vifd has done since it was last asked. */
export interface Seen {
  readonly spans: readonly Span[];
  /** When its event loop stood still, and for how long, in ms. */
  readonly stalls: readonly { readonly from: number; readonly ms: number }[];
  readonly memory: NodeJS.MemoryUsage;
}

/** Looks into a vifd that was started with its environment. */
export class Probe {
  readonly #path: string;

  /** @param dir where its socket is */
  constructor(dir: string) {
    this.#path = join(dir, 'probe.sock');
  }

  get env(): Record<string, string> {
    return { NODE_OPTIONS: `--import=${script}`, VIFD_PROBE: this.#path, VIFD_PROBE_DIST: dist };
  }

  /** What has been seen since this was called last. */
  async take(): Promise<Seen> {
    return JSON.parse(await text(connect(this.#path))) as Seen;
  }
}
