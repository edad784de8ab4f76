import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { exec } from '../support/process/exec.js';

/** Runs `ip -batch` in a namespace. Like `exec` with an input, but that a program which ends before it has read it is an error like any other. */
export async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  const running = promisify(execFile)('ip', ['-n', namespace, '-batch', '-']);
  running.child.stdin?.on('error', () => undefined);
  running.child.stdin?.end(`${lines.join('\n')}\n`);
  await running;
}

/** Handlers that tell whether a promise was fulfilled. */
export const settled = [() => true, () => false] as const;

/** A neighbour that did not answer is asked again soon, and an answer is believed at once. */
export const impatient = (device: string): string =>
  `ntable change name arp_cache dev ${device} retrans 60 locktime 0`;

/**
 * The same for IPv6, with proxied answers sent at once. Who asks for a neighbour is not heard by all, as with IPv4, so that one
 * whose MAC is another now is believed to be where it was until it is asked again.
 */
export const impatient6 = (device: string): string =>
  `ntable change name ndisc_cache dev ${device} retrans 60 proxy_delay 0 base_reachable 500 delay_probe 50`;

/** Sets sysctls in a namespace, by their paths below /proc/sys. */
export async function setSysctls(namespace: string, values: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(values).map(([name, value]) => `echo ${value} > /proc/sys/${name}`);
  await exec('ip', ['netns', 'exec', namespace, 'sh', '-c', lines.join('; ')]);
}
