import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Domnet } from '../support/net/domnet.js';
import { exec, until } from '../support/process/exec.js';

/**
 * The agents that are compared: vifd, the stock script as `xl devd` runs it, and a minimal agent in C; `before` is
 * another build of vifd.
 */
export const agents = ['vifd', 'stock', 'floor'] as const;
export type AgentName = (typeof agents)[number] | 'before';

/** An agent that serves the driver domain. */
export interface Agent {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Options of an agent: vifd's configuration, the `main.js` of another build, and what is added to the environment. */
export interface AgentOptions {
  readonly config?: string;
  readonly main?: string | undefined;
  readonly env?: Record<string, string>;
}

/** Starts an agent and resolves when it is ready for a vif. */
export async function startAgent(
  name: AgentName,
  domnet: Domnet,
  { config, main, env }: AgentOptions = {},
): Promise<Agent> {
  if (name === 'vifd' || name === 'before') {
    const daemon = await domnet.vifd({
      ...(config !== undefined && { config }),
      ...(name === 'before' && main !== undefined && { main }),
      ...(env !== undefined && { env }),
    });
    return { pid: daemon.pid, stop: async () => void (await daemon.terminate()) };
  }
  const program = await compile(name === 'stock' ? 'devd' : 'floor', domnet.dir);
  // The stock script appends to a file in /var/log/xen, which is a tmpfs in this mount namespace.
  const shell = `mount -t tmpfs tmpfs /var/log/xen && exec ${program}`;
  const child = spawn('ip', ['netns', 'exec', domnet.namespace, 'sh', '-c', shell], {
    env: { ...process.env, XENSTORED_PATH: domnet.xenstored.socketPath, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await ready(child);
  return {
    pid: child.pid as number,
    stop: async () => {
      // A Ctrl-C has ended it already.
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

/** Compiles a program of this folder. @returns its path */
export async function compile(name: string, dir: string): Promise<string> {
  const program = join(dir, name);
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
  await exec('cc', [...flags, '-o', program, source, '-lxenstore']);
  return program;
}

async function ready(child: ChildProcess): Promise<void> {
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  await until('an agent that is ready', () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    return output === 'ready\n';
  });
}

/** CPU time a process has used so far, in ms (utime and stime of proc(5); a clock tick is 10 ms on Linux). */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Resident memory of a process in MB. */
export function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
