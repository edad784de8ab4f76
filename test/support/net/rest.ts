import { setTimeout as sleep } from 'node:timers/promises';
import { Background } from '../process/background.js';
import { exec, until } from '../process/exec.js';
import { series } from '../process/prometheus-text.js';
import { ask } from '../process/status.js';
import type { Domnet } from './domnet.js';

/** What went on in a driver domain for a while. */
export interface Activity {
  /** Looks the daemon took. */
  looks: number;
  /** What the kernel announced of network devices, addresses, routes and the like, and of nftables. */
  news: string[];
}

/** The longest that a disturbance may take to be over, in ms. */
const settlingMs = 15_000;
/** What is quiet for so long has become quiet: longer than the kernel takes to find an IPv6 address to be free. */
const quietMs = 2000;
/** The least time between two rounds in which every vif is looked at, in ms; see src/reconcile/periodic-resync.ts. */
const roundMs = 45_000;

/** Counts what goes on in a driver domain in which nothing should. */
export class Rest {
  readonly #domnet: Domnet;
  readonly #metrics: string;
  readonly #monitors: readonly Background[];
  #marks = 0;
  #read = [0, 0];

  private constructor(domnet: Domnet, metrics: string) {
    this.#domnet = domnet;
    this.#metrics = metrics;
    const inside = ['netns', 'exec', domnet.namespace];
    this.#monitors = [
      new Background('ip', ['-n', domnet.namespace, '-o', 'monitor', 'all']),
      new Background('ip', [...inside, 'stdbuf', '-oL', 'nft', 'monitor']),
    ];
  }

  /** @param metrics the Unix socket at which the daemon has its metrics */
  static async start(domnet: Domnet, metrics: string): Promise<Rest> {
    const rest = new Rest(domnet, metrics);
    domnet.atEnd(() => rest.#stop());
    // Until both listen, a mark may go unseen.
    await until('the monitors to listen', () => rest.#mark(100));
    return rest;
  }

  async #stop(): Promise<void> {
    for (const monitor of this.#monitors) await monitor.stop();
  }

  /**
   * What goes on in this many ms once it has become quiet, without the round in which every vif is looked at once.
   * @throws when it does not become quiet
   */
  async during(ms: number): Promise<Activity> {
    const vifs = await this.#attached();
    const end = performance.now() + settlingMs;
    for (;;) {
      const last = await this.#over(quietMs, vifs);
      if (!isBusy(last)) break;
      if (performance.now() > end) throw new Error(`still busy after ${settlingMs} ms: ${print(last)}`);
    }
    return await this.#over(ms, vifs);
  }

  /** @param inRound how many looks a round has, which are left out; 0 when they count as others do */
  async #over(ms: number, inRound = 0): Promise<Activity> {
    await this.#news();
    const end = performance.now() + ms;
    let now = await this.#looks();
    let looks = 0;
    let round: { began: number; left: number } | undefined;
    while (performance.now() < end) {
      await sleep(Math.min(500, ms));
      const before = now;
      now = await this.#looks();
      let fresh = now - before;
      const at = performance.now();
      if (fresh > 0 && (round === undefined || at - round.began > roundMs - 1000)) {
        round = { began: at, left: inRound };
      }
      // One round, and all of it within two of these counts.
      if (round !== undefined && at - round.began < 1500) {
        const ofRound = Math.min(fresh, round.left);
        round.left -= ofRound;
        fresh -= ofRound;
      }
      looks += fresh;
    }
    return { looks, news: await this.#news() };
  }

  async #looks(): Promise<number> {
    return (await this.#values()).get('vifd_reconciles_total') as number;
  }

  async #attached(): Promise<number> {
    const values = await this.#values();
    return [...values].reduce((sum, [name, value]) => sum + (name.startsWith('vifd_vifs{') ? value : 0), 0);
  }

  async #values(): Promise<Map<string, number>> {
    // What anti-spoofing dropped cannot be read while the rules change.
    const text = await until('the metrics', async () => {
      const answer = await ask(this.#metrics, '/metrics');
      return answer.status === 200 && answer.text;
    });
    return series(text);
  }

  /** The lines that came since this was asked last. */
  async #news(): Promise<string[]> {
    await this.#mark();
    return this.#monitors.flatMap(({ lines }, i) => {
      const fresh = lines.slice(this.#read[i]);
      this.#read[i] = lines.length;
      return fresh.filter((line) => !isNoise(line));
    });
  }

  /** Both monitors have told all that was before this. */
  async #mark(timeoutMs?: number): Promise<boolean> {
    const mark = ++this.#marks;
    const rule = `pref ${20_000 + mark} lookup ${markTable}`;
    await exec('ip', ['-n', this.#domnet.namespace, '-batch', '-'], {
      input: `rule add ${rule}\nrule delete ${rule}\n`,
    });
    const table = `table ip m${markTable}_${mark}`;
    await this.#domnet.exec('nft', [`add ${table}; delete ${table}`]);
    const [links, rules] = this.#monitors as [Background, Background];
    return await until(
      'the monitors to catch up',
      () =>
        links.lines.some((line) => line.includes(`Deleted ${20_000 + mark}:`)) &&
        rules.lines.includes(`delete ${table}`),
      timeoutMs,
    ).catch((error) => {
      if (timeoutMs === undefined) throw error;
      return false;
    });
  }
}

/** The routing table that no packet is looked up in, but for the marks. */
const markTable = 7777;

/** The marks, and what the kernel tells of guests that it hears, which is not anything that the daemon does. */
const isNoise = (line: string): boolean =>
  line.includes(`lookup ${markTable}`) ||
  line.includes(`table ip m${markTable}_`) ||
  line.startsWith('# new generation') ||
  /^\[NEIGH\].* (REACHABLE|STALE|DELAY|PROBE|FAILED|INCOMPLETE)/.test(line);

const isBusy = ({ looks, news }: Activity): boolean => looks + news.length > 0;

const print = ({ looks, news }: Activity): string =>
  `${looks} looks, ${news.length} announcements: ${news.slice(0, 20).join('; ')}`;
