import { request } from 'node:http';
import { join } from 'node:path';
import { cpuMs } from '../bench/agents.js';
import type { Domnet } from '../support/net/domnet.js';

const times = 50;

/** The CPU time of the daemon in ms for each request of its control socket. */
export async function costOf(domnet: Domnet, pid: number, path: string): Promise<number> {
  const socketPath = join(domnet.dir, 'control.sock');
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      request({ socketPath, path, agent: false }, (response) => response.resume().once('end', resolve))
        .once('error', reject)
        .end();
    });
  await ask();
  const before = cpuMs(pid);
  for (let i = 0; i < times; i++) await ask();
  return (cpuMs(pid) - before) / times;
}
