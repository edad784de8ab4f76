import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { exec, until } from '../process/exec.js';
import type { Domnet, Vif } from './domnet.js';

const schema = '/usr/share/openvswitch/vswitch.ovsschema';
const frames = fileURLToPath(new URL('../packets/frames.py', import.meta.url));

/**
 * The distribution's ovsdb-server and ovs-vswitchd, with a directory and a database of their own, in the driver domain.
 * Bridges have the userspace datapath, which needs no kernel module.
 */
export class OpenVswitch {
  readonly dir = mkdtempSync(join(tmpdir(), 'ovs-'));
  readonly database = `unix:${join(this.dir, 'db.sock')}`;
  /** A vifd.toml that names this database. */
  readonly config = `[openvswitch]\ndatabase = "${this.database}"\n`;
  readonly #domnet: Domnet;
  #server: ChildProcess | undefined;
  #switch: ChildProcess | undefined;

  constructor(domnet: Domnet) {
    this.#domnet = domnet;
  }

  async start(): Promise<void> {
    await this.startServer();
    await this.vsctl('--no-wait init');
    await this.startSwitch();
  }

  async stop(): Promise<void> {
    await this.stopSwitch();
    await this.stopServer();
    rmSync(this.dir, { recursive: true });
  }

  async startServer(): Promise<void> {
    const file = join(this.dir, 'conf.db');
    if (!existsSync(file)) await exec('ovsdb-tool', ['create', file, schema]);
    this.#server = this.#spawn('ovsdb-server', [file, `--remote=p${this.database}`]);
    await this.#answers('ovsdb-server');
  }

  /** Stops ovsdb-server as its service would; resolves when its socket is gone. */
  async stopServer(): Promise<void> {
    await this.#end(this.#server);
  }

  async startSwitch(): Promise<void> {
    this.#switch = this.#spawn('ovs-vswitchd', [this.database, '--disable-system', '--pidfile']);
    await this.#answers('ovs-vswitchd');
  }

  async stopSwitch(): Promise<void> {
    await this.#end(this.#switch);
  }

  /** Kills ovs-vswitchd by SIGKILL; resolves when it has ended. */
  async killSwitch(): Promise<void> {
    await this.#end(this.#switch, 'SIGKILL');
  }

  /** Sends a signal to ovsdb-server: after SIGSTOP it hangs. */
  signalServer(signal: NodeJS.Signals): void {
    this.#server?.kill(signal);
  }

  /** Runs ovs-vsctl with arguments separated by blanks. */
  async vsctl(command: string): Promise<string> {
    const output = await this.#domnet.exec('ovs-vsctl', [
      `--db=${this.database}`,
      '--timeout=10',
      ...command.split(' '),
    ]);
    return output.trim();
  }

  async addBridge(name: string): Promise<void> {
    await this.vsctl(`add-br ${name} -- set bridge ${name} datapath_type=netdev`);
  }

  /** The bridge that has this port; undefined for none. */
  bridgeOf(port: string): Promise<string | undefined> {
    return this.vsctl(`port-to-br ${port}`).catch(() => undefined);
  }

  /** One column, as ovs-vsctl prints it. */
  get(table: 'port' | 'interface', record: string, column: string): Promise<string> {
    return this.vsctl(`get ${table} ${record} ${column}`);
  }

  #spawn(program: string, args: string[]): ChildProcess {
    const own = [`--unixctl=${join(this.dir, `${program}.ctl`)}`, '--verbose=off'];
    return spawn('ip', ['netns', 'exec', this.#domnet.namespace, program, ...args, ...own], {
      env: { ...process.env, OVS_RUNDIR: this.dir, OVS_LOGDIR: this.dir, OVS_DBDIR: this.dir },
      stdio: 'ignore',
    });
  }

  async #answers(program: string): Promise<void> {
    const socket = join(this.dir, `${program}.ctl`);
    await until(`${program} to answer`, async () =>
      exec('ovs-appctl', ['-t', socket, 'version']).catch(() => undefined),
    );
  }

  async #end(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    await exit;
  }
}

/** Receives the frames of a guest, each as `VLAN TEXT`, or `- TEXT` when it has no tag. */
export class FrameListener {
  readonly arrived: string[] = [];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.arrived.push(line),
    );
  }

  static async in(vif: Vif): Promise<FrameListener> {
    const guest = await vif.domnet.guestNamespace(vif.domid);
    const args = ['netns', 'exec', guest, 'python3', frames, 'receive', `eth${vif.devid}`];
    const listener = new FrameListener(spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] }));
    await until('the frame listener', () => listener.arrived.includes('listening'));
    listener.arrived.length = 0;
    return listener;
  }

  /** Sends until the frame arrives, because a port does not forward at once after ovs-vswitchd took it up. */
  async receives(line: string, send: () => Promise<unknown>): Promise<void> {
    await until(`the frame "${line}"; arrived: ${this.arrived.join(', ')}`, async () => {
      if (this.arrived.includes(line)) return true;
      await send();
      return this.arrived.includes(line);
    });
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Broadcasts one frame from a guest. */
export async function sendFrame(vif: Vif, vlan: number | '-', text: string): Promise<void> {
  await vif.guestExec('python3', [frames, 'send', `eth${vif.devid}`, `${vlan}`, text]);
}
