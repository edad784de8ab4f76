import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Vifd } from '../../support/net/domnet.js';
import { rssMb } from '../agents.js';
import type { Session } from '../session.js';

/** Starts vifd beside what is there. @returns it, and the ms to READY */
export async function timedStart(
  { domnet }: Session,
  env: Record<string, string> = {},
): Promise<{ daemon: Vifd; ms: number }> {
  const before = Date.now();
  const daemon = await domnet.vifd({ env });
  const { time } = await daemon.logged('ready');
  return { daemon, ms: Date.parse(String(time)) - before };
}

/** Start to READY and idle memory, beside those of a Node that does nothing. */
export async function measureStart(session: Session): Promise<void> {
  const { domnet } = session;
  session.say('start');
  const namespace = ['netns', 'exec', domnet.namespace, process.execPath];
  for (let i = 0; i < 3; i++) {
    const before = performance.now();
    await promisify(execFile)('ip', [...namespace, '-e', '0']);
    session.add('start.node', 'vifd', performance.now() - before);
  }
  const bare = spawn('ip', [...namespace, '-e', 'setInterval(() => {}, 1000)']);
  await sleep(500);
  const bareMb = rssMb(bare.pid as number);
  const exit = once(bare, 'exit');
  bare.kill('SIGKILL');
  await exit;
  for (let i = 0; i < 3; i++) {
    const { daemon, ms } = await timedStart(session);
    session.add('start.none', 'vifd', ms);
    await sleep(500);
    session.idleMb = rssMb(daemon.pid);
    session.add('memory.idle', 'vifd', session.idleMb - bareMb);
    await daemon.terminate();
  }
}
