import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Domnet, Vifd } from '../support/net/domnet.js';
import { until } from '../support/process/exec.js';
import { smallNetwork } from './addresses.js';
import type { NatNetwork, Step, Uplink } from './model.js';
import type { ToldStatus } from './statuses.js';
import { stretch } from './stretch.js';

/** The daemon that is walked: another build's main.js when the environment says so. */
export const vifdMain = (): string =>
  process.env.WALK_VIFD ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** How long a daemon may take to start, in ms. */
const startMs = 10_000;

/** The vifd of a walk, which ends and starts again in it. */
export class WalkedDaemon {
  readonly #domnet: Domnet;
  readonly #natNetwork: NatNetwork;
  /** What vifd.toml has besides. */
  readonly #config: string;
  #uplinks: readonly Uplink[] = [];
  #vifd: Vifd | undefined;
  /** Daemons that are gone, for their last lines. */
  readonly #former: Vifd[] = [];

  constructor(domnet: Domnet, natNetwork: NatNetwork, config: string) {
    this.#domnet = domnet;
    this.#natNetwork = natNetwork;
    this.#config = config;
  }

  /** Writes vifd.toml. @returns its path */
  #configure(): string {
    const file = join(this.#domnet.dir, 'vifd.toml');
    const uplink = this.#uplinks.length === 0 ? '' : `uplink = ${JSON.stringify(this.#uplinks)}\n`;
    const network = this.#natNetwork === 'stock' ? '' : `network = "${smallNetwork}.0/24"\n`;
    const nat = `[nat]\n${network}${uplink}dhcp = "dnsmasq"\ndns = ["192.0.2.53"]\n`;
    writeFileSync(file, `${nat}[log]\nlevel = "debug"\n${this.#config}`);
    return file;
  }

  async start(): Promise<void> {
    const file = this.#configure();
    const args = [
      'netns',
      'exec',
      this.#domnet.namespace,
      process.execPath,
      vifdMain(),
      'run',
      '--config',
      file,
    ];
    const child = spawn('ip', args, { env: this.#domnet.vifdEnv, stdio: ['ignore', 'pipe', 'pipe'] });
    const vifd = new Vifd(child);
    this.#vifd = vifd;
    // Node itself takes seconds to start beside others.
    const isReady = (): boolean => this.crash !== undefined || vifd.log.some(({ msg }) => msg === 'ready');
    await until('vifd to be ready', isReady, startMs * stretch());
    if (this.crash !== undefined) throw new Error(this.crash);
  }

  async end(how: 'terminate' | 'kill'): Promise<void> {
    const vifd = this.#vifd;
    if (vifd === undefined) return;
    this.#vifd = undefined;
    this.#former.push(vifd);
    if (this.#former.length > 3) this.#former.shift();
    await vifd[how]();
  }

  /** Names the uplinks of NAT in the configuration, which the daemon reads again; none for those of the default routes. */
  setUplinks(names: readonly Uplink[]): void {
    this.#uplinks = names;
    this.#configure();
    this.hangUp();
  }

  hangUp(): void {
    this.#vifd?.hangUp();
  }

  /** Does to the daemon what the step says. */
  async restart(how: Extract<Step, { do: 'vifd' }>['how']): Promise<void> {
    if (how === 'reload') return this.hangUp();
    if (how === 'stop' || how === 'restart') await this.end('terminate');
    if (how === 'kill' || how === 'crash') await this.end('kill');
    if (how === 'start' || how === 'restart' || how === 'crash') await this.start();
  }

  /** Why the daemon is not running although it should be. */
  get crash(): string | undefined {
    const vifd = this.#vifd;
    return vifd === undefined || existsSync(`/proc/${vifd.pid}/stat`)
      ? undefined
      : `vifd ended by itself: ${vifd.noise.slice(-20).join('\n')}`;
  }

  /** The last lines of the daemons' log. */
  log(lines: number): string[] {
    const all = [...this.#former, ...(this.#vifd === undefined ? [] : [this.#vifd])];
    const texts = all.flatMap((vifd) => [...vifd.log.map((line) => JSON.stringify(line)), ...vifd.noise]);
    return texts.slice(-lines);
  }

  /** CPU time of the daemon in ms, and its memory in MB. */
  usage(): { cpu: number; rss: number } | undefined {
    if (this.#vifd === undefined) return undefined;
    const stat = readFileSync(`/proc/${this.#vifd.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#vifd.pid}/status`, 'utf8'))?.[1];
    return { cpu: 10 * (Number(fields[11]) + Number(fields[12])), rss: Number(rss) / 1024 };
  }

  /** `vifd status --json`. */
  told(): Promise<ToldStatus[]> {
    return new Promise((resolve, reject) => {
      const socketPath = join(this.#domnet.dir, 'control.sock');
      const asking = request({ socketPath, path: '/status', timeout: 2000 }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        answer.on('end', () => resolve((JSON.parse(text) as { vifs: ToldStatus[] }).vifs));
      });
      asking.on('timeout', () => asking.destroy(new Error('no answer within 2 s')));
      asking.on('error', reject);
      asking.end();
    });
  }

  /** The daemon looks for a database that went away after 0.1 to 5 s. */
  async databaseReached(): Promise<void> {
    const last = (msg: string): number => this.#vifd?.log.findLastIndex((line) => line.msg === msg) ?? -1;
    await until(
      'the daemon to have the database again',
      () => last('openvswitch database reached') >= last('openvswitch database not reachable'),
      6000,
    );
  }
}
