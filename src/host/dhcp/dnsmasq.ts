import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { deviceOfEntry, splitEntry } from '../../model/dhcp-entry.js';
import { parseVifName } from '../../model/vif-id.js';
import { endWithUs } from '../process/guard.js';
import { type Server, serversOf } from './dnsmasq-servers.js';

/** Pauses before dnsmasq is started again when it ends by itself: the first again once it has lasted for a while. */
const respawnMs = { first: 250, longest: 30_000 };
const lastingMs = 1000;
/** How long one that was killed may take to be gone. */
const goneMs = 1000;
/** How long to wait for more changes before dnsmasq is started anew. */
const settleMs = 20;
/** The unit that runs dnsmasq in our place, where systemd runs us. */
const unit = 'vifd-dnsmasq.service';
const unitConf = '/run/vifd/dhcp/dnsmasq.conf';
/** systemd sets this for what it runs with Type=notify. */
const underSystemd = process.env.NOTIFY_SOCKET !== undefined;
const resolvConf = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/**
 * dnsmasq as the DHCP server of the NAT guests. It has a file a vif to read, in two directories which it watches, so a
 * vif that comes costs it nothing. What changes or goes it would remember, with the lease; then it is started anew,
 * which takes it milliseconds: every address is fixed, so it has nothing worth keeping.
 *
 * Under systemd a unit of its own runs it, if installed, and outlives us; else it is our child, started again whenever it
 * ends, and ends with us. Before either starts, any other that serves by our configuration is ended: there is one, always.
 */
export class Dnsmasq {
  readonly #dir: string;
  readonly #conf: string;
  readonly #log: Logger | undefined;
  readonly #entries = new Map<string, string>();
  #devices = '';
  #child: ChildProcess | undefined;
  #byUnit = false;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** The last start or stop: one at a time. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param dir for its files; must be in a place that dnsmasq, which gives up root, can reach */
  constructor(dir: string, log?: Logger) {
    this.#dir = dir;
    this.#conf = join(dir, 'dnsmasq.conf');
    this.#log = log;
    for (const name of this.#allFiles()) {
      if (parseVifName(name) !== undefined)
        this.#entries.set(name, this.#read('hosts', name) + this.#read('options', name));
    }
  }

  /** Begins to serve; before, the files are read and nothing is touched. */
  serve(): void {
    for (const name of this.#allFiles()) if (!this.#entries.has(name)) this.#remove(name);
    this.#restart();
  }

  /** By the vif's name. */
  get entries(): ReadonlyMap<string, string> {
    return this.#entries;
  }

  set(vif: string, entry: string): void {
    const isNew = !this.#entries.has(vif) && this.#running;
    for (const name of ['', 'hosts', 'options']) makeReadable(join(this.#dir, name));
    const { host, options } = splitEntry(entry);
    // The options first: the host's line is what lets the guest have a lease.
    this.#write('options', vif, options);
    this.#write('hosts', vif, host);
    this.#entries.set(vif, entry);
    if (!isNew || this.#devices !== this.#interfaces()) this.#restart();
  }

  delete(vif: string): void {
    this.#remove(vif);
    this.#entries.delete(vif);
    this.#restart();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#child?.kill();
  }

  get #running(): boolean {
    return this.#child !== undefined || this.#byUnit;
  }

  #restart(pauseMs = settleMs): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#turn = this.#turn
        .then(() => this.#start())
        .catch((error: Error) => this.#again('dnsmasq not started', error.message));
    }, pauseMs);
  }

  /** Once more, later each time that it does not last. */
  #again(message: string, reason: string, lastedMs = 0): void {
    if (this.#closed) return;
    if (lastedMs > lastingMs) this.#failures = 0;
    const pause = Math.min(respawnMs.first * 2 ** this.#failures++, respawnMs.longest);
    this.#log?.error({ reason, pause }, message);
    this.#restart(pause);
  }

  async #start(): Promise<void> {
    if (this.#entries.size === 0) return await this.#stop();
    this.#devices = this.#interfaces();
    makeReadable(this.#dir);
    writeFileSync(this.#conf, this.#configuration());
    const unitServes = this.#unitServes;
    await this.#endOthers({ butUnit: unitServes });
    this.#byUnit = unitServes && (await restartUnit());
    if (this.#byUnit || this.#closed) return;
    this.#spawn();
  }

  async #stop(): Promise<void> {
    // Also when it was started before us.
    if (this.#unitServes) await systemctl('stop', unit);
    this.#byUnit = false;
    await this.#endOthers({ butUnit: false });
  }

  /** Whether the unit is the one to serve: it reads one file only, and may have been started by a vifd before us. */
  get #unitServes(): boolean {
    return (
      this.#conf === unitConf &&
      (underSystemd || serversOf(this.#conf).some((server) => server.unit === unit))
    );
  }

  /** Ends our child, and what a vifd before us has left. */
  async #endOthers({ butUnit }: { butUnit: boolean }): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
    }
    const left = (): Server[] => serversOf(this.#conf).filter((server) => !(butUnit && server.unit === unit));
    for (const end = performance.now() + goneMs; ; await sleep(goneMs / 100)) {
      const servers = left();
      if (servers.length === 0) return;
      if (performance.now() > end)
        throw new Error(
          `process ${servers.map(({ pid }) => pid).join(', ')} serves already, and does not end`,
        );
      for (const { pid } of servers) {
        this.#log?.info({ pid }, 'dnsmasq of another vifd ended');
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // ESRCH: it has just ended.
        }
      }
    }
  }

  #spawn(): void {
    const child = spawn('dnsmasq', ['--keep-in-foreground', `--conf-file=${this.#conf}`], {
      // A group of its own, so that it ends with us and not before.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    const started = performance.now();
    endWithUs(child);
    createInterface({ input: child.stderr }).on('line', (line) => this.#log?.debug({ line }, 'dnsmasq'));
    const again = (reason: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#again('dnsmasq ended', reason, performance.now() - started);
    };
    child.once('error', (error) => again(error.message));
    child.once('exit', (code, signal) => again(signal ?? `exit status ${code}`));
  }

  /** Patterns of the devices to serve: netback's names, and those dom0 chose. */
  #interfaces(): string {
    const devices = [...this.#entries.values()].map(deviceOfEntry).filter((name) => name !== undefined);
    const others = devices.filter((name) => !name.startsWith('vif')).sort();
    return ['vif*', ...others].map((name) => `interface=${name}\n`).join('');
  }

  #configuration(): string {
    const resolvers = domainResolvers();
    return [
      // DHCP only: a resolver would be one more thing on this machine for guests to reach.
      'port=0',
      'no-resolv',
      'no-hosts',
      'no-ping',
      'bind-dynamic',
      this.#interfaces().trimEnd(),
      // Any address, if it is in a file: the two halves of them all.
      'dhcp-range=1.0.0.0,static,128.0.0.0',
      'dhcp-range=128.0.0.0,static,128.0.0.0',
      `dhcp-hostsdir=${join(this.#dir, 'hosts')}`,
      `dhcp-optsdir=${join(this.#dir, 'options')}`,
      // Silence towards everybody else on a vif, and a word of power, also about leases from before a restart, to those.
      'dhcp-ignore=tag:!known',
      'dhcp-authoritative',
      'leasefile-ro',
      ...(resolvers.length > 0 ? [`dhcp-option=option:dns-server,${resolvers.join(',')}`] : []),
      'log-facility=-',
      `pid-file=`,
      '',
    ].join('\n');
  }

  #files(kind: string): string[] {
    try {
      return readdirSync(join(this.#dir, kind));
    } catch {
      return [];
    }
  }

  /** Also those of which one half was written only. */
  #allFiles(): Set<string> {
    return new Set([...this.#files('hosts'), ...this.#files('options')]);
  }

  #read(kind: string, name: string): string {
    try {
      return readFileSync(join(this.#dir, kind, name), 'utf8');
    } catch {
      return '';
    }
  }

  /** dnsmasq looks when a file is closed or moved into place; whole is what it must be then. */
  #write(kind: string, name: string, text: string): void {
    const unfinished = join(this.#dir, `.${kind}-${name}`);
    writeFileSync(unfinished, text);
    // dnsmasq is no longer root when it reads this, and our umask lets nobody else.
    chmodSync(unfinished, 0o644);
    renameSync(unfinished, join(this.#dir, kind, name));
  }

  #remove(name: string): void {
    for (const kind of ['hosts', 'options']) rmSync(join(this.#dir, kind, name), { force: true });
  }
}

/** A directory that dnsmasq can list, whatever our umask. */
function makeReadable(dir: string): void {
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o755);
}

/** Whether systemd started it: not where there is no such unit. @throws when there is one that does not start */
async function restartUnit(): Promise<boolean> {
  if ((await systemctl('restart', unit)) !== undefined) return true;
  const state = await systemctl('show', '--value', '--property=LoadState', unit);
  if (state === undefined || state.trim() === 'not-found') return false;
  throw new Error(`${unit} does not start: see "systemctl status ${unit}"`);
}

/** What it printed; undefined where it failed, or there is none. */
const systemctl = (...args: string[]): Promise<string | undefined> =>
  promisify(execFile)('systemctl', args).then(
    ({ stdout }) => stdout,
    () => undefined,
  );

/** The resolvers of this domain that others can reach too: not a stub on the loopback. */
function domainResolvers(): string[] {
  for (const file of resolvConf) {
    try {
      const found = [...readFileSync(file, 'utf8').matchAll(/^\s*nameserver\s+(\d+(?:\.\d+){3})\s*$/gm)]
        .map(([, address]) => address as string)
        .filter((address) => !address.startsWith('127.'));
      if (found.length > 0) return found;
    } catch {
      // Not every machine has both.
    }
  }
  return [];
}
