import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Xenstore } from 'node-xenstore';
import { exec, until } from '../process/exec.js';
import { Xenstored } from '../store/xenstored.js';

const vifdMain = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

/** A vif's keys as a guest's configuration gives them. */
export interface VifSpec {
  domid: number;
  devid?: number;
  /** Keys of the backend directory in addition to those that libxl always writes; undefined leaves one of those out. */
  keys?: Record<string, string | undefined>;
}

/**
 * A driver domain without Xen, made of:
 * - a network namespace for the domain,
 * - the distribution's own xenstored, reached as dom0 would, for the host's (so `/local/domain/0` is the domain's home),
 * - a veth pair for netback's interface and the guest's, whose end is in a namespace of its own,
 * - this class for libxl and netback: it writes and deletes what they do, in their order.
 */
export class Domnet {
  readonly namespace: string;
  xenstored: Xenstored;
  /** dom0's connection. */
  xenstore: Xenstore;
  readonly dir: string;
  readonly #namespaces = new Set<string>();
  readonly #daemons = new Set<Vifd>();
  readonly #ends: (() => Promise<unknown>)[] = [];

  private constructor(namespace: string, xenstored: Xenstored, xenstore: Xenstore) {
    this.namespace = namespace;
    this.xenstored = xenstored;
    this.xenstore = xenstore;
    this.dir = mkdtempSync(join(tmpdir(), 'vifd-'));
  }

  static #count = 0;

  static async start(): Promise<Domnet> {
    const xenstored = await Xenstored.start();
    const xenstore = await Xenstore.open({ path: xenstored.socketPath });
    const domnet = new Domnet(`vifd-${process.pid}-${++Domnet.#count}`, xenstored, xenstore);
    try {
      await domnet.introduce();
      await domnet.#addNamespace(domnet.namespace);
      return domnet;
    } catch (error) {
      await domnet.stop();
      throw error;
    }
  }

  /** Ends everything that was started and removes everything that was made. */
  async stop(): Promise<void> {
    for (const end of this.#ends) await end();
    for (const daemon of this.#daemons) await daemon.kill();
    await this.xenstore.close();
    await this.xenstored.stop();
    for (const namespace of this.#namespaces) {
      if (existsSync(`/run/netns/${namespace}`)) await exec('ip', ['netns', 'delete', namespace]);
    }
    rmSync(this.dir, { recursive: true });
  }

  /** Has `stop` call a function, to end what the test has not ended itself. */
  atEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  /** Starts a xenstored that was killed again, at the same socket and with an empty store, as on a host. */
  async restartXenstored(): Promise<void> {
    await this.xenstore.close();
    this.xenstored = await Xenstored.start({ dir: this.xenstored.dir });
    this.xenstore = await Xenstore.open({ path: this.xenstored.socketPath });
  }

  /** Writes what dom0 writes for the domain itself before anything else. */
  async introduce(): Promise<void> {
    await this.xenstore.write('domid', '0');
  }

  /** Runs `ip` in the driver domain, with arguments separated by blanks. */
  ip(command: string): Promise<string> {
    return exec('ip', ['-n', this.namespace, ...command.split(' ')]);
  }

  /** Runs a program in the driver domain. @returns its stdout */
  exec(file: string, args: readonly string[]): Promise<string> {
    return exec('ip', ['netns', 'exec', this.namespace, file, ...args]);
  }

  /** One device as `ip -d -j address show` prints it; undefined when there is none of that name. */
  async link(name: string): Promise<IpLink | undefined> {
    const links = JSON.parse(await this.ip('-d -j address show')) as IpLink[];
    return links.find(({ ifname }) => ifname === name);
  }

  async addBridge(name: string, options = ''): Promise<void> {
    await this.ip(
      `link add ${name} ${options === '' ? '' : `${options} `}up type bridge forward_delay 0`.replace(
        / +/g,
        ' ',
      ),
    );
  }

  /** Birth, steps 1 to 3: dom0 writes the device in one transaction, netback makes the netdev and goes to InitWait. */
  async plug(spec: VifSpec): Promise<Vif> {
    const vif = await this.writeDevice(spec);
    await vif.addNetdev();
    await vif.setState(2);
    return vif;
  }

  /** Step 1 alone: what libxl__device_nic_add writes. */
  async writeDevice({ domid, devid = 0, keys = {} }: VifSpec): Promise<Vif> {
    const vif = new Vif(this, domid, devid);
    const octets = [0, 0x16, 0x3e, domid >> 8, domid & 255, devid];
    const backend = {
      frontend: vif.frontend,
      'frontend-id': `${domid}`,
      online: '1',
      state: '1',
      script: '/etc/xen/scripts/vif-bridge',
      mac: octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':'),
      bridge: 'xenbr0',
      handle: `${devid}`,
      type: 'vif',
      'hotplug-status': '',
      ...keys,
    };
    const given = Object.entries(backend).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    await this.xenstore.writeMany([
      [`${vif.frontend}/backend`, `/local/domain/0/${vif.backend}`],
      [`${vif.frontend}/state`, '1'],
      ...given.map(([key, value]): [string, string] => [`${vif.backend}/${key}`, value]),
    ]);
    return vif;
  }

  /** Starts the built daemon in the driver domain; resolves when it is ready. */
  async vifd(
    options: { config?: string; env?: Record<string, string>; wait?: boolean; main?: string } = {},
  ): Promise<Vifd> {
    const args: string[] = [];
    if (options.config !== undefined) {
      const file = join(this.dir, 'vifd.toml');
      writeFileSync(file, options.config);
      args.push('--config', file);
    }
    const [file = '', ...command] = this.vifdCommand(args, options.main);
    const child = spawn(file, command, {
      env: { ...this.vifdEnv, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const daemon = new Vifd(child);
    this.#daemons.add(daemon);
    child.once('exit', () => this.#daemons.delete(daemon));
    if (options.wait !== false) await daemon.logged('ready');
    return daemon;
  }

  /** The command line of the daemon in the driver domain, or of another build by its `main.js`. */
  vifdCommand(args: readonly string[] = [], main = vifdMain): string[] {
    return ['ip', 'netns', 'exec', this.namespace, process.execPath, main, 'run', ...args];
  }

  /** The environment of the daemon. */
  get vifdEnv(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      XENSTORED_PATH: this.xenstored.socketPath,
      VIFD_RUNTIME_DIR: this.dir,
      VIFD_STATE_DIR: join(this.dir, 'state'),
    };
  }

  /** Runs another command of vifd in the driver domain to its end. */
  command(...args: string[]): Promise<Ended> {
    return new Promise((resolve, reject) => {
      const words = ['netns', 'exec', this.namespace, process.execPath, vifdMain, ...args];
      const options = { env: this.vifdEnv, timeout: 30_000, maxBuffer: 64 << 20 };
      const child = execFile('ip', words, options, (error, stdout, stderr) =>
        child.exitCode === null ? reject(error) : resolve({ status: child.exitCode, stdout, stderr }),
      );
    });
  }

  /** Adds a network namespace beside the driver domain's, such as a guest's; removed by `stop`. */
  async #addNamespace(name: string): Promise<void> {
    // Noted before, because an interrupted `ip` may have made it.
    this.#namespaces.add(name);
    await exec('ip', ['netns', 'add', name]);
    await exec('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  }

  async guestNamespace(domid: number): Promise<string> {
    const name = `${this.namespace}-g${domid}`;
    if (!this.#namespaces.has(name)) await this.#addNamespace(name);
    return name;
  }
}

/** The exit status and output of a program. */
export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

/** The fields of `ip -d -j address` that tests use. */
export interface IpLink {
  ifindex: number;
  ifname: string;
  ifalias?: string;
  address: string;
  mtu: number;
  flags: string[];
  master?: string;
  addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
}

/** One vif, with the actions of libxl, netback and its guest. */
export class Vif {
  readonly domnet: Domnet;
  readonly domid: number;
  readonly devid: number;
  readonly name: string;
  readonly backend: string;
  readonly frontend: string;

  constructor(domnet: Domnet, domid: number, devid: number) {
    this.domnet = domnet;
    this.domid = domid;
    this.devid = devid;
    this.name = `vif${domid}.${devid}`;
    this.backend = `backend/vif/${domid}/${devid}`;
    this.frontend = `/local/domain/${domid}/device/vif/${devid}`;
  }

  /** Makes the interface as netback's probe does: down, with the address it always has. The guest's end is up at once. */
  async addNetdev(): Promise<void> {
    const guest = await this.domnet.guestNamespace(this.domid);
    const key = (await this.read('mac')) ?? '';
    const mac = /^00(:[0-9a-f]{2}){5}$/i.test(key) ? key : '00:16:3e:00:00:01';
    const eth = `eth${this.devid}`;
    await this.domnet.ip(
      `link add ${this.name} address fe:ff:ff:ff:ff:ff type veth peer name ${eth} address ${mac} netns ${guest}`,
    );
    await exec('ip', ['-n', guest, 'link', 'set', eth, 'up']);
  }

  async removeNetdev(name = this.name): Promise<void> {
    await this.domnet.ip(`link delete ${name}`);
  }

  /** `ip` in the guest. */
  async guestIp(command: string): Promise<string> {
    return await exec('ip', ['-n', await this.domnet.guestNamespace(this.domid), ...command.split(' ')]);
  }

  /** Runs a program in the guest. @returns its stdout */
  async guestExec(file: string, args: readonly string[]): Promise<string> {
    return await exec('ip', ['netns', 'exec', await this.domnet.guestNamespace(this.domid), file, ...args]);
  }

  read(key: string): Promise<string | undefined> {
    return this.domnet.xenstore.read(`${this.backend}/${key}`).catch((error: { code?: string }) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  write(keys: Record<string, string>): Promise<void> {
    return this.domnet.xenstore.writeMany(
      Object.entries(keys).map(([key, value]): [string, string] => [`${this.backend}/${key}`, value]),
    );
  }

  setState(state: number): Promise<void> {
    return this.write({ state: `${state}` });
  }

  exists(): Promise<boolean> {
    return this.domnet.xenstore.exists(this.backend);
  }

  /** Waits for `hotplug-status` to read this. */
  async status(expected: string): Promise<void> {
    await until(
      `hotplug-status ${expected} of ${this.name}`,
      async () => (await this.read('hotplug-status')) === expected,
    );
  }

  connected(): Promise<void> {
    return this.status('connected');
  }

  /** Death, steps 1 to 3: dom0 asks, netback closes and unregisters, the agent deletes, dom0 removes what is above. */
  async unplug(): Promise<void> {
    const { xenstore } = this.domnet;
    // Before the agent deletes it.
    const netdev = (await this.read('vifname')) ?? this.name;
    await this.write({ online: '0', state: '5' });
    await this.setState(6);
    await this.removeNetdev(netdev).catch(() => undefined);
    await until(`the deletion of ${this.backend}`, async () => !(await this.exists()));
    await xenstore.rm(this.frontend);
    for (const path of [`backend/vif/${this.domid}`, 'backend/vif', 'backend']) {
      if ((await xenstore.directory(path)).length > 0) break;
      await xenstore.rm(path);
    }
  }
}

/** A line of the daemon's log. */
export interface LogLine {
  level: string;
  msg: string;
  vif?: string;
  [field: string]: unknown;
}

/** A running daemon and what it logged so far. */
export class Vifd {
  readonly log: LogLine[] = [];
  /** Lines that were not JSON, and everything on stderr. */
  readonly noise: string[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | string>;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      try {
        this.log.push(JSON.parse(line) as LogLine);
      } catch {
        this.noise.push(line);
      }
    });
    createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) =>
      this.noise.push(line),
    );
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** The reconciliations that it has logged so far, which it does at level `trace`. */
  get reconciliations(): number {
    return this.log.filter(({ msg }) => msg === 'reconciling vif').length;
  }

  /** Waits for a line with this message, about this vif if one is named. */
  logged(msg: string, vif?: string): Promise<LogLine> {
    return until(`the log line "${msg}"; stderr: ${this.noise.join('\n')}`, () => {
      if (this.#child.exitCode !== null && !this.log.some((line) => line.msg === msg)) {
        const last = JSON.stringify(this.log.at(-1));
        throw new Error(`vifd ended with ${this.#child.exitCode}: ${this.noise.join('\n')} ${last}`);
      }
      return this.log.find((line) => line.msg === msg && (vif === undefined || line.vif === vif));
    });
  }

  /** Resolves with the exit status, or the name of the signal that ended it. */
  exited(): Promise<number | string> {
    return this.#exited;
  }

  /** Sends SIGHUP, at which it reads its configuration again. */
  hangUp(): void {
    this.#child.kill('SIGHUP');
  }

  /** Sends SIGSTOP. */
  suspend(): void {
    this.#child.kill('SIGSTOP');
  }

  terminate(): Promise<number | string> {
    this.#child.kill('SIGTERM');
    return this.#exited;
  }

  kill(): Promise<number | string> {
    this.#child.kill('SIGKILL');
    return this.#exited;
  }
}
