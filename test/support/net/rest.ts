import { setTimeout as sleep } from 'node:timers/promises';
import { Background } from '../process/background.js';
import { exec, until } from '../process/exec.js';
import { series } from '../process/prometheus-text.js';
import { ask } from '../process/status.js';
import type { Domnet } from './domnet.js';

/** The activity in a driver domain for a while. */
export interface Activity {
  /** Reconciliations of vifs. */
  reconciliations: number;
  /** The kernel's announcements about devices, addresses, routes and so on, and about nftables. */
  news: string[];
}

/** The longest that a disturbance may last, in ms. */
const settlingMs = 15_000;
/** The time without activity, in ms, that counts as rest: longer than duplicate address detection takes. */
const quietMs = 2000;
/** The pause between two counts, in ms. */
const tickMs = 500;
/** The least time between two periodic resyncs, in ms; see src/reconcile/periodic-resync.ts. */
const roundMs = 45_000;

/** Counts the activity in a driver domain in which there should be none. */
export class Rest {
  readonly #domnet: Domnet;
  readonly #metrics: string;
  readonly #monitors: readonly Background[];
  #marks = 0;
  #read = [0, 0];
  #counted = 0;

  private constructor(domnet: Domnet, metrics: string) {
    this.#domnet = domnet;
    this.#metrics = metrics;
    const inside = ['netns', 'exec', domnet.namespace];
    this.#monitors = [
      new Background('ip', ['-n', domnet.namespace, '-o', 'monitor', 'all']),
      new Background('ip', [...inside, 'stdbuf', '-oL', 'nft', 'monitor']),
    ];
  }

  /** @param metrics the Unix socket of the daemon's metrics */
  static async start(domnet: Domnet, metrics: string): Promise<Rest> {
    const rest = new Rest(domnet, metrics);
    domnet.atEnd(() => rest.#stop());
    // A mark may be missed before both listen.
    await until('the monitors to listen', () => rest.#mark(100));
    return rest;
  }

  async #stop(): Promise<void> {
    for (const monitor of this.#monitors) await monitor.stop();
  }

  /**
   * The activity in this many ms after it has become quiet, without a periodic resync.
   * @throws when it does not become quiet
   */
  async during(ms: number): Promise<Activity> {
    const vifs = await this.#attached();
    const end = performance.now() + settlingMs;
    await this.#news();
    await this.#fresh();
    // Quiet begins with the last activity, whenever that was; a resync only puts it off.
    for (let quiet = 0; quiet < quietMs; quiet += tickMs) {
      await sleep(tickMs);
      const last = { reconciliations: await this.#fresh(), news: this.#printed() };
      if (!isBusy(last)) continue;
      if (performance.now() > end) throw new Error(`still busy after ${settlingMs} ms: ${print(last)}`);
      quiet = -tickMs;
    }
    const reconciliations = await this.#over(ms, vifs);
    return { reconciliations, news: await this.#news() };
  }

  /** The reconciliations since the last count, and in this many ms from now, but for those of a resync, which has `inRound`. */
  async #over(ms: number, inRound: number): Promise<number> {
    const end = performance.now() + ms;
    let reconciliations = 0;
    let round: { began: number; left: number } | undefined;
    while (performance.now() < end) {
      await sleep(Math.min(tickMs, ms));
      let fresh = await this.#fresh();
      const at = performance.now();
      if (fresh > 0 && (round === undefined || at - round.began > roundMs - 1000)) {
        round = { began: at, left: inRound };
      }
      // One resync, all of it within two of these counts.
      if (round !== undefined && at - round.began < 1500) {
        const ofRound = Math.min(fresh, round.left);
        round.left -= ofRound;
        fresh -= ofRound;
      }
      reconciliations += fresh;
    }
    return reconciliations;
  }

  /** The reconciliations since the last call. */
  async #fresh(): Promise<number> {
    const before = this.#counted;
    this.#counted = await this.#reconciliations();
    return this.#counted - before;
  }

  async #reconciliations(): Promise<number> {
    return (await this.#values()).get('vifd_reconciles_total') as number;
  }

  async #attached(): Promise<number> {
    const values = await this.#values();
    return [...values].reduce((sum, [name, value]) => sum + (name.startsWith('vifd_vifs{') ? value : 0), 0);
  }

  async #values(): Promise<Map<string, number>> {
    // The drops of anti-spoofing cannot be read while the rules change.
    const text = await until('the metrics', async () => {
      const answer = await ask(this.#metrics, '/metrics');
      return answer.status === 200 && answer.text;
    });
    return series(text);
  }

  /** All lines since the last call. The mark has vifs looked at again, since a rule is news of routing. */
  async #news(): Promise<string[]> {
    await this.#mark();
    return this.#printed();
  }

  /** The lines since the last call that the monitors have printed by now. */
  #printed(): string[] {
    return this.#monitors.flatMap(({ lines }, i) => {
      const fresh = lines.slice(this.#read[i]);
      this.#read[i] = lines.length;
      return fresh.filter((line) => !isNoise(line));
    });
  }

  /** Waits until both monitors have printed everything before this call. */
  async #mark(timeoutMs?: number): Promise<boolean> {
    const mark = firstMark + ++this.#marks;
    // vifd does not listen to nexthops: a mark that it answered, as it does a routing rule, would be activity itself.
    await exec('ip', ['-n', this.#domnet.namespace, '-batch', '-'], {
      input: `nexthop add id ${mark} blackhole\nnexthop delete id ${mark}\n`,
    });
    const table = `table ip mark${mark}`;
    await this.#domnet.exec('nft', [`add ${table}; delete ${table}`]);
    const [links, rules] = this.#monitors as [Background, Background];
    return await until(
      'the monitors to catch up',
      () =>
        links.lines.some((line) => line.includes(`Deleted id ${mark} blackhole`)) &&
        rules.lines.includes(`delete ${table}`),
      timeoutMs,
    ).catch((error) => {
      if (timeoutMs === undefined) throw error;
      return false;
    });
  }
}

/** Marks are nexthops and tables with numbers after this. */
const firstMark = 77_000;

/** Whether a line is a mark, or a neighbour that the kernel learned from a guest's packet. */
const isNoise = (line: string): boolean =>
  /id 77\d{3} blackhole|table ip mark77\d{3}/.test(line) ||
  line.startsWith('# new generation') ||
  /^\[NEIGH\].* (REACHABLE|STALE|DELAY|PROBE|FAILED|INCOMPLETE)/.test(line) ||
  // Its own entries for multicast groups, which it collects when there are many; nothing of vifd's is NOARP.
  /^\[NEIGH\]Deleted ff02:.* NOARP/.test(line);

const isBusy = ({ reconciliations, news }: Activity): boolean => reconciliations + news.length > 0;

const print = ({ reconciliations, news }: Activity): string =>
  `${reconciliations} reconciliations, ${news.length} announcements: ${news.slice(0, 20).join('; ')}`;
