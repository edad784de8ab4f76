import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a program of this directory in a network namespace of its own. @returns what it prints, as JSON */
export async function inNamespace(program: string, ...args: string[]): Promise<unknown> {
  const namespace = `${program}-${process.pid}`;
  await run('ip', ['netns', 'add', namespace]);
  try {
    const file = fileURLToPath(new URL(`${program}.ts`, import.meta.url));
    const node = [process.execPath, '--import', 'tsx', file, ...args];
    // tsx would leave its cache in the directory for temporary files.
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
    const { stdout } = await run('ip', ['netns', 'exec', namespace, ...node], { timeout: 30_000, env });
    return JSON.parse(stdout);
  } finally {
    await run('ip', ['netns', 'delete', namespace]);
  }
}
