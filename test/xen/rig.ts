import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

export const rigFile = new URL('rig', import.meta.url).pathname;

const commandMs = 240_000;

const bootMs = 900_000;

/** Runs a `rig` command line. @returns its stdout; an error carries its stderr */
export async function rig(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  try {
    const options = { env: { ...process.env, ...env }, maxBuffer: 64 << 20, timeout: commandMs };
    return (await promisify(execFile)(rigFile, args, options)).stdout;
  } catch (error) {
    const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: number };
    const said = `${stdout}${stderr}`.trim() || `exit ${code ?? 'by timeout'}`;
    throw new Error(`${args.slice(0, 2).join(' ').slice(0, 200)}: ${said}`, { cause: error });
  }
}

/** Runs `rig up`, which may build images first and prints its progress. */
export async function boot(xenstored: string): Promise<void> {
  const options = {
    env: { ...process.env, XENSTORED: xenstored },
    stdio: 'inherit',
    timeout: bootMs,
  } as const;
  const [code] = await once(spawn(rigFile, ['up'], options), 'exit');
  if (code !== 0) throw new Error('the machine did not boot');
}
