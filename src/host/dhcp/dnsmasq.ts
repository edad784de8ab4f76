import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { library as noCheck } from 'dhcp-no-check';
import type { Logger } from 'pino';
import { splitEntry } from '../../model/dhcp-entry.js';
import { parseVifName } from '../../model/vif-id.js';
import { spawnGuarded } from '../process/guard.js';
import { dnsPortIsTaken } from './dns-port.js';
import { configurationFor, covers, type Needs, needsOf } from './dnsmasq-configuration.js';
import { isOneEnding, type Server, serversOf } from './dnsmasq-servers.js';
import { hangUpUnit, restartUnit, stopUnit, underSystemd, unit, unitConf } from './dnsmasq-unit.js';
import { ToldAddresses } from './told-addresses.js';

/** Pauses in ms before dnsmasq is started again when it has ended by itself, doubled each time. */
const respawnMs = { first: 250, longest: 30_000 };
/** After a run of this many ms the pause is the first one again. */
const lastingMs = 1000;
/** How long a killed process may take to be gone, in ms. */
const goneMs = 1000;
/** How long to wait for more changes before dnsmasq is restarted or reads its files again, in ms. */
const settleMs = 20;
/** After so many ms a process that was started is dnsmasq; SIGHUP would end what becomes it. */
const grownMs = 500;

/**
 * dnsmasq as the DHCP server of the NAT and routed guests, by IPv6 with the advertisements that lead them to it, and as the resolver of the
 * former, which asks those of this machine. Each vif has a file in two directories that dnsmasq watches, so a new vif
 * needs no restart. What goes it forgets at SIGHUP, but for leases: an address that moves to another guest needs one, and so does a vif
 * whose address changes. It takes milliseconds and loses nothing, since every address is fixed.
 *
 * Under systemd, vifd-dnsmasq.service runs it, if installed, and outlives vifd; else it is a child, started again whenever
 * it ends, and ends with vifd. Any other dnsmasq with this configuration is ended first, so that only one serves.
 */
export class Dnsmasq {
  readonly #dir: string;
  readonly #conf: string;
  readonly #log: Logger | undefined;
  readonly #entries = new Map<string, string>();
  /** The needs with which it was started last. */
  #served: Needs = needsOf([]);
  /** What it was told since. */
  #told = new ToldAddresses([]);
  /** The vifs whose entries it still knows and is to forget. */
  readonly #stale = new Set<string>();
  #startedAt = 0;
  /** Called when it says that it reads a file, and when it has ended. */
  #hasRead: () => void = () => undefined;
  /** Whether another server answers guests, since it has port 53 of every address. */
  #leavesDns = false;
  #child: ChildProcess | undefined;
  #byUnit = false;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the timer is for a restart. */
  #restarts = false;
  #failures = 0;
  /** The last start or stop: one at a time. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param dir for its files; dnsmasq, which gives up root, must be able to reach it */
  constructor(dir: string, log?: Logger) {
    this.#dir = dir;
    this.#conf = join(dir, 'dnsmasq.conf');
    this.#log = log;
    for (const name of this.#allFiles()) {
      if (parseVifName(name) !== undefined)
        this.#entries.set(name, this.#read('hosts', name) + this.#read('options', name));
    }
  }

  /** Starts dnsmasq; before, the files are only read. */
  serve(): void {
    for (const name of this.#allFiles()) if (!this.#entries.has(name)) this.#remove(name);
    this.#restart();
  }

  /** The entries on file, by the vif's name. */
  get entries(): ReadonlyMap<string, string> {
    return this.#entries;
  }

  set(vif: string, entry: string): void {
    const before = this.#entries.get(vif);
    const { host, options } = splitEntry(entry);
    const isNew = before === undefined && !this.#stale.has(vif) && !this.#told.mayRefuse(entry);
    const keepsHost = before !== undefined && splitEntry(before).host === host;
    this.#write(vif, host, options);
    this.#entries.set(vif, entry);
    this.#told.note(entry);
    if (!this.#running || !(isNew || keepsHost) || !covers(this.#served, needsOf([entry]))) this.#restart();
    else if (keepsHost) this.#reread();
  }

  delete(vif: string): void {
    const entry = this.#entries.get(vif) ?? '';
    this.#remove(vif);
    this.#entries.delete(vif);
    this.#stale.add(vif);
    if (this.#told.isTaken(entry)) this.#restart();
    else this.#reread();
  }

  /**
   * Writes again what another program has deleted of the files. dnsmasq is started anew then: it follows a directory that has gone, and not
   * the one that takes its place.
   */
  keepFiles(): void {
    const files = ['hosts', 'options'].map((kind) => new Set(this.#files(kind)));
    const lost = [...this.#entries].filter(([vif]) => files.some((names) => !names.has(vif)));
    if (lost.length === 0) return;
    this.#log?.warn({ dir: this.#dir, vifs: lost.map(([vif]) => vif) }, 'DHCP files lost, written again');
    for (const [vif, entry] of lost) {
      const { host, options } = splitEntry(entry);
      this.#write(vif, host, options);
    }
    this.#restart();
  }

  /** The resolvers of this domain have changed: dnsmasq misses a file that is mounted over another. */
  resolversChanged(): void {
    if (this.#entries.size > 0) this.#restart();
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
    this.#restarts = true;
    this.#schedule(() => this.#start(), pauseMs);
  }

  /** Has it forget what has gone, unless it is restarted anyway. */
  #reread(): void {
    if (this.#restarts) return;
    const grown = this.#startedAt + grownMs - performance.now();
    this.#schedule(() => this.#hangUp(), Math.max(settleMs, grown));
  }

  #schedule(run: () => Promise<void>, pauseMs: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#restarts = false;
      this.#turn = this.#turn
        .then(run)
        .catch((error: Error) => this.#again('dnsmasq not started', error.message));
    }, pauseMs);
  }

  /** Logs why dnsmasq does not run, and starts it again after a pause. */
  #again(message: string, reason: string, lastedMs = 0): void {
    if (this.#closed) return;
    if (lastedMs > lastingMs) this.#failures = 0;
    const pause = Math.min(respawnMs.first * 2 ** this.#failures++, respawnMs.longest);
    this.#log?.error({ reason, pause }, message);
    this.#restart(pause);
  }

  async #start(): Promise<void> {
    if (this.#entries.size === 0) return await this.#stop();
    makeReadable(this.#dir);
    this.#served = needsOf([...this.#entries.values()]);
    this.#told = new ToldAddresses(this.#entries.values());
    this.#stale.clear();
    this.#startedAt = performance.now();
    const isTaken = this.#served.asks && dnsPortIsTaken();
    if (isTaken && !this.#leavesDns)
      this.#log?.warn(
        'another server has port 53 of all addresses: it answers guests, and no resolver of vifd',
      );
    this.#leavesDns = isTaken;
    const directories = { hosts: join(this.#dir, 'hosts'), options: join(this.#dir, 'options') };
    const servesNames = this.#served.asks && !isTaken;
    writeFileSync(this.#conf, configurationFor(this.#served, directories, servesNames));
    const unitServes = this.#unitServes;
    await this.#endOthers({ butUnit: unitServes });
    this.#byUnit = unitServes && (await restartUnit());
    if (this.#byUnit || this.#closed) return;
    this.#spawn();
  }

  /** Has dnsmasq read its files again; starts it anew where it does not, or need be the resolver of none any longer. */
  async #hangUp(): Promise<void> {
    const child = this.#child;
    const { asks } = needsOf([...this.#entries.values()]);
    if (this.#entries.size === 0 || asks !== this.#served.asks) return await this.#start();
    this.#stale.clear();
    const isDone = this.#byUnit ? await hangUpUnit() : child !== undefined && (await this.#readsAgain(child));
    if (!isDone) await this.#start();
  }

  /** Sends SIGHUP. @returns whether it then reads a file within a second, or ends; one that hangs does neither */
  async #readsAgain(child: ChildProcess): Promise<boolean> {
    const reads = new Promise<boolean>((resolve) => {
      this.#hasRead = () => resolve(true);
      setTimeout(() => resolve(false), goneMs).unref();
    });
    child.kill('SIGHUP');
    return await reads;
  }

  async #stop(): Promise<void> {
    // Before it has stopped: a vif that comes meanwhile has it started again.
    this.#byUnit = false;
    // Also where an earlier vifd started it.
    if (this.#unitServes) await stopUnit();
    await this.#endOthers({ butUnit: false });
  }

  /** Whether the unit is to run dnsmasq: for the one file that it names, under systemd or where it runs already. */
  get #unitServes(): boolean {
    return (
      this.#conf === unitConf &&
      (underSystemd || serversOf(this.#conf).some((server) => server.unit === unit))
    );
  }

  /** Ends the child, and any dnsmasq that an earlier vifd has left. */
  async #endOthers({ butUnit }: { butUnit: boolean }): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      // One that hangs takes no SIGTERM, and no other server would be started while it has not ended.
      const late = setTimeout(() => child.kill('SIGKILL'), goneMs);
      await ended;
      clearTimeout(late);
    }
    const left = (): Server[] => serversOf(this.#conf).filter((server) => !(butUnit && server.unit === unit));
    for (const end = performance.now() + goneMs; ; await sleep(goneMs / 100)) {
      const servers = left();
      const isLate = performance.now() > end;
      if (servers.length === 0 && (isLate || !isOneEnding())) return;
      if (isLate)
        throw new Error(
          `another dnsmasq serves by the same configuration and does not end: process ${servers.map(({ pid }) => pid).join(', ')}`,
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
    // Its process group is its own, so a terminal's Ctrl-C does not end it before vifd.
    const child = spawnGuarded('dnsmasq', ['--keep-in-foreground', `--conf-file=${this.#conf}`], {
      env: { ...process.env, LD_PRELOAD: noCheck },
    });
    child.stdin.end();
    child.stdout.resume();
    this.#child = child;
    const started = performance.now();
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.includes(': read ')) this.#hasRead();
      this.#log?.debug({ line }, 'dnsmasq');
    });
    const again = (reason: string): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#hasRead();
      this.#again('dnsmasq ended', reason, performance.now() - started);
    };
    child.once('error', (error) => again(error.message));
    child.once('exit', (code, signal) => again(signal ?? `exit status ${code}`));
  }

  #files(kind: string): string[] {
    try {
      return readdirSync(join(this.#dir, kind));
    } catch {
      return [];
    }
  }

  /** The names of all files, also of those that are in one of the two directories only. */
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

  #write(vif: string, host: string, options: string): void {
    for (const name of ['', 'hosts', 'options']) makeReadable(join(this.#dir, name));
    // The options first: with the host's line the guest gets a lease.
    this.#put('options', vif, options);
    this.#put('hosts', vif, host);
  }

  /** Writes a file and moves it into place, because dnsmasq reads a file when it is closed or moved into its directory. */
  #put(kind: string, name: string, text: string): void {
    const unfinished = join(this.#dir, `.${kind}-${name}`);
    writeFileSync(unfinished, text);
    // dnsmasq is no longer root when it reads the file, and the umask may have left it to root.
    chmodSync(unfinished, 0o644);
    renameSync(unfinished, join(this.#dir, kind, name));
  }

  #remove(name: string): void {
    for (const kind of ['hosts', 'options']) rmSync(join(this.#dir, kind, name), { force: true });
  }
}

/** Makes a directory that dnsmasq can list, whatever the umask. */
function makeReadable(dir: string): void {
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o755);
}
