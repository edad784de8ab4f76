import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildShim } from '../process/shim.js';

const shimSource = fileURLToPath(new URL('xenstored-shim.c', import.meta.url));

/**
 * The distribution's own xenstored, without a hypervisor: its calls to Xen are answered by `xenstored-shim.c`.
 *
 * It serves a Unix socket in a directory of its own, so that any number of them can run at once. Each client is dom0:
 * relative paths begin at `/local/domain/0`, every access is granted, and no quota applies.
 */
export class Xenstored {
  readonly dir: string;
  readonly #child: ChildProcess;

  private constructor(dir: string, child: ChildProcess) {
    this.dir = dir;
    this.#child = child;
  }

  get socketPath(): string {
    return join(this.dir, 'socket');
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /**
   * @param options.dir the directory of the socket, by default a new one; `stop` removes it.
   * @param options.args more options for xenstored, such as `['-M', '64']`
   */
  static async start(options: { dir?: string; args?: string[] } = {}): Promise<Xenstored> {
    const shim = await buildShim(shimSource);
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'xenstored-'));
    // -N keeps it in the foreground, so that its pid is the child's.
    const child = spawn(findXenstored(), ['-N', ...(options.args ?? [])], {
      env: { ...process.env, LD_PRELOAD: shim, XENSTORED_RUNDIR: dir },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    const server = new Xenstored(dir, child);
    await once(child, 'spawn');
    while (!(await answers(server.socketPath))) {
      if (server.#ended) throw new Error(`xenstored did not start: ${complaint}`);
      await sleep(2);
    }
    return server;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ends it, also after a SIGSTOP, and removes its directory. */
  async stop(): Promise<void> {
    if (!this.#ended) {
      const exit = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await exit;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  get #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

function findXenstored(): string {
  const candidates = readdirSync('/usr/lib').map((name) => `/usr/lib/${name}/bin/xenstored`);
  const found = candidates.filter((path) => path.includes('/xen-') && existsSync(path)).at(-1);
  if (!found) throw new Error('there is no /usr/lib/xen-*/bin/xenstored: install xen-utils');
  return found;
}

/** Whether xenstored answers a request; its socket exists before it does. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    // struct xsd_sockmsg {type = XS_DIRECTORY, req_id, tx_id, len}, and the path.
    socket.write(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x2f, 0]));
    for await (const _reply of socket) return true;
    return false;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
