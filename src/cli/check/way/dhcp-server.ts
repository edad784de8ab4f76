import { join } from 'node:path';
import { serversOf } from '../../../host/dhcp/dnsmasq-servers.js';
import { dhcpDirectory } from '../../../runtime/runtime-dir.js';
import { runProgram } from './run.js';

/** What listens for DHCP, on port 67: `ours`, or another program by its name; undefined for nothing. */
export async function dhcpServer(): Promise<string | undefined> {
  const output = await runProgram('ss', ['-Hulnp', 'sport', '=', ':67']);
  if ('failed' in output) return undefined;
  return dhcpServerIn(
    output.stdout,
    serversOf(join(dhcpDirectory(), 'dnsmasq.conf')).map(({ pid }) => pid),
  );
}

/** @param text of `ss -Hulnp`, which names processes to root alone @param ours the processes of vifd's server */
export function dhcpServerIn(text: string, ours: readonly number[]): string | undefined {
  if (text.trim() === '') return undefined;
  const processes = [...text.matchAll(/\("([^"]*)",pid=(\d+),/g)];
  if (processes.some(([, , pid]) => ours.includes(Number(pid)))) return 'ours';
  const [, name = 'another program', pid] = processes[0] ?? [];
  return pid === undefined ? name : `${name} (process ${pid})`;
}
