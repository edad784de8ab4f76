import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Domnet } from '../net/domnet.js';
import { exec, until } from './exec.js';

/**
 * A container with this machine's file system, booted by systemd: systemd-nspawn over an overlay of `/`, so that packages
 * can be installed and units run without a trace. It has the network and the xenstored of a {@link Domnet}, the latter at
 * `/run/xenstored/socket`. Only systemd's own services run in it.
 */
export class Container {
  /** Its `/`, seen from here. */
  readonly root: string;
  readonly #scratch: string;
  readonly #child: ChildProcess;
  #leader = 0;

  private constructor(scratch: string, root: string, child: ChildProcess) {
    this.#scratch = scratch;
    this.root = root;
    this.#child = child;
  }

  static async boot(domnet: Domnet): Promise<Container> {
    const scratch = mkdtempSync(join(tmpdir(), 'vifd-container-'));
    const [upper, work, root] = ['upper', 'work', 'root'].map((name) => join(scratch, name)) as [
      string,
      string,
      string,
    ];
    // The upper layer must not be on an overlay, which / may be.
    await exec('mount', ['-t', 'tmpfs', 'vifd-test', scratch]);
    for (const dir of [upper, work, root]) mkdirSync(dir);
    await exec('mount', [
      '-t',
      'overlay',
      '-o',
      `lowerdir=/,upperdir=${upper},workdir=${work}`,
      'vifd-test',
      root,
    ]);
    const child = spawn(
      'systemd-nspawn',
      [
        '--quiet',
        '--register=no',
        '--keep-unit',
        `--machine=vifd-test-${process.pid}`,
        `--directory=${root}`,
        `--network-namespace-path=/run/netns/${domnet.namespace}`,
        '--capability=CAP_NET_ADMIN',
        `--bind=${domnet.xenstored.dir}:/run/xenstored`,
        // The container has a /tmp of its own, and the project may be below the host's.
        `--bind-ro=${project}`,
        '--console=pipe',
        '--boot',
        '--',
        '--unit=basic.target',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const container = new Container(scratch, root, child);
    try {
      await container.#booted();
      return container;
    } catch (error) {
      await container.stop();
      throw error;
    }
  }

  async #booted(): Promise<void> {
    let said = '';
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    }
    await until(
      'the container to boot',
      async () => {
        if (this.#child.exitCode !== null) throw new Error(`systemd-nspawn ended: ${said}`);
        this.#leader = childOf(this.#child.pid as number);
        if (this.#leader === 0) return false;
        const state = await this.exec('systemctl', ['is-system-running']).catch(
          // It exits 1 while the system starts, and for "degraded", which units of this machine may cause.
          (error: { stdout?: string }) => error.stdout ?? '',
        );
        return /running|degraded/.test(state);
      },
      30_000,
    );
  }

  /** Runs a program in the container as root. @returns its stdout */
  exec(file: string, args: readonly string[]): Promise<string> {
    const env = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive'];
    return exec('nsenter', ['-t', `${this.#leader}`, '-a', 'env', '-i', ...env, file, ...args]);
  }

  sh(script: string): Promise<string> {
    return this.exec('sh', ['-c', script]);
  }

  /** One property of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.exec('systemctl', ['show', '--value', `--property=${name}`, unit])).trim();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      // The end of its first process ends all others (pid_namespaces(7)), and then systemd-nspawn, which cleans up.
      // Without systemd-nspawn they would go on.
      if (this.#leader === 0) this.#child.kill('SIGTERM');
      else process.kill(this.#leader, 'SIGKILL');
      await ended;
    }
    await exec('umount', [this.root]);
    await exec('umount', [this.#scratch]);
    rmdirSync(this.#scratch);
  }
}

const project = fileURLToPath(new URL('../../..', import.meta.url));

/** systemd-nspawn's only child is the container's first process; 0 when there is none yet. */
function childOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
  } catch {
    return 0;
  }
}
