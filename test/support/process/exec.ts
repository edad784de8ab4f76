import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Runs a program to its end and returns what it printed; an error carries its stderr. */
export async function exec(
  file: string,
  args: readonly string[],
  options: { input?: string } = {},
): Promise<string> {
  const running = execFileAsync(file, args, { maxBuffer: 64 << 20 });
  // A program that ends without reading its input tells by its status.
  running.child.stdin?.on('error', () => undefined);
  if (options.input !== undefined) running.child.stdin?.end(options.input);
  const { stdout } = await running;
  return stdout;
}

/**
 * Calls `look` until it returns a value, and returns that. The time is for what hangs: a busy machine may take ten seconds to start vifd.
 * @throws an error that names `what` when it never does
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
