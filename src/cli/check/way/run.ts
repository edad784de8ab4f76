import { execFile } from 'node:child_process';
import { onOneLine } from '../../../model/one-line.js';

/** In ms: the longest that a program may take. */
const timeout = 5000;

/** What a program printed, or how it failed. */
export type Output = { readonly stdout: string } | { readonly failed: string };

/** Runs a program to its end; a service's PATH often lacks sbin. */
export function runProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Output> {
  const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;
  const options = { timeout, maxBuffer: 64 << 20, env: { ...process.env, ...env, PATH, LC_ALL: 'C' } };
  return new Promise((resolve) => {
    execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve({ stdout });
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      resolve({ failed: missing ? `there is no program ${file}` : stderr.trim() || error.message });
    });
  });
}

/** The JSON that a program of iproute2 prints; an empty list where it fails or prints nothing. */
export async function jsonOf<Row>(file: string, args: readonly string[]): Promise<readonly Row[]> {
  const output = await runProgram(file, args);
  if ('failed' in output || output.stdout.trim() === '') return [];
  return parseIproute(output.stdout) as Row[];
}

/** The JSON of iproute2, which has control characters of a device's name as they are, and not by number (its json_writer.c). */
export const parseIproute = (json: string): unknown =>
  JSON.parse(json.replace(/[^\P{Cc}\n\r\t]/gu, onOneLine));
