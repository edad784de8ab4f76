import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Domnet } from '../net/domnet.js';
import { Background } from './background.js';
import { exec, until } from './exec.js';

const program = (name: string) =>
  fileURLToPath(new URL(`../../../.cache/prometheus/${name}`, import.meta.url));

/** Runs `promtool`. @returns its output; rejects with it when promtool finds an error */
export const promtool = (args: readonly string[], input = ''): Promise<string> =>
  exec(program('promtool'), args, { input });

/** One series of a result: its labels and its value, NaN where there is none. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The distribution's Prometheus in a driver domain, which scrapes a vifd there every second. */
export class Prometheus {
  readonly #domnet: Domnet;
  readonly #server: Background;

  private constructor(domnet: Domnet, server: Background) {
    this.#domnet = domnet;
    this.#server = server;
  }

  static async start(domnet: Domnet, target: string): Promise<Prometheus> {
    const file = join(domnet.dir, 'prometheus.yml');
    writeFileSync(
      file,
      JSON.stringify({
        global: { scrape_interval: '1s' },
        scrape_configs: [{ job_name: 'vifd', static_configs: [{ targets: [target] }] }],
      }),
    );
    const server = new Background('ip', [
      ...['netns', 'exec', domnet.namespace, program('prometheus'), `--config.file=${file}`],
      `--storage.tsdb.path=${join(domnet.dir, 'tsdb')}`,
      '--web.listen-address=127.0.0.1:9090',
      '--log.level=error',
    ]);
    const prometheus = new Prometheus(domnet, server);
    await until('Prometheus', () => prometheus.query('up').catch(() => undefined), 30_000);
    return prometheus;
  }

  /** The value of an expression now. @throws when it is not valid */
  async query(expression: string): Promise<Sample[]> {
    const url = `http://127.0.0.1:9090/api/v1/query?query=${encodeURIComponent(expression)}`;
    const fetch = `import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())`;
    const answer = JSON.parse(await this.#domnet.exec('python3', ['-c', fetch, url])) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return answer.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  async stop(): Promise<void> {
    await this.#server.stop('SIGTERM');
  }
}
