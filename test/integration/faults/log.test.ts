import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { pingBetween } from '../../support/net/ping.js';
import { exec, until } from '../../support/process/exec.js';
import { Journal } from '../../support/process/journal.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

const plug = async (domid: number): Promise<Vif> => {
  const vif = await domnet.plug({ domid });
  await vif.connected();
  return vif;
};

async function end(daemon: ChildProcess): Promise<unknown> {
  const ended = daemon.exitCode ?? daemon.signalCode ?? once(daemon, 'exit').then(([code]) => code);
  daemon.kill('SIGTERM');
  return await ended;
}

test('journald that stands still: vifs are attached, and every entry is there afterwards', async () => {
  const journal = await Journal.start();
  const [file = '', ...words] = journal.command(domnet.vifdCommand());
  const daemon = spawn(file, words, { env: domnet.vifdEnv, stdio: 'ignore' });
  try {
    const ready = async () => (await journal.find('MESSAGE=ready')).length > 0;
    await until('ready', ready);
    const guests = [await plug(5), await plug(6)] as const;
    const ping = await pingBetween(...guests);
    journal.suspend();
    const domids = Array.from({ length: 24 }, (_, i) => 10 + i);
    for (const domid of domids) await plug(domid);
    expect((await domnet.command('status')).status).toBe(0);
    journal.resume();
    await until('the entries', async () => {
      const found = await journal.find('TOPOLOGY=bridge');
      return found.length === domids.length + guests.length;
    });
    expect(await journal.find('MESSAGE=vif33.0 repaired')).toEqual([]);
    expect((await ping.stop()).lost).toBe(0);
  } finally {
    journal.resume();
    await end(daemon);
    await journal.stop();
  }
});

/** `vifd run` that writes stdout and stderr to a pipe, and the reading end of that. */
async function onPipe(): Promise<{ daemon: ChildProcess; reader: number }> {
  const path = `${domnet.dir}/pipe`;
  await exec('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  // All but 5 KB of what a pipe holds (pipe(7)).
  writeSync(writer, Buffer.alloc(60_000, '\n'));
  const config = `${domnet.dir}/debug.toml`;
  await exec('sh', ['-c', `printf '[log]\\nlevel = "trace"\\n' >${config}`]);
  const [file = '', ...words] = domnet.vifdCommand(['--config', config]);
  const daemon = spawn(file, words, { env: domnet.vifdEnv, stdio: ['ignore', writer, writer] });
  closeSync(writer);
  await until('a daemon that answers', async () => (await domnet.command('status')).status === 0);
  return { daemon, reader };
}

test('a pipe that is not read, and one whose reader has gone: the vifs are served all the same', async () => {
  const { daemon, reader } = await onPipe();
  const first = await plug(5);
  // More than the pipe takes still.
  for (let domid = 6; domid < 26; domid++) await plug(domid);
  expect(readFileSync(`/proc/${daemon.pid}/wchan`, 'utf8')).not.toContain('pipe');
  closeSync(reader);
  await domnet.ip(`link set ${first.name} nomaster`);
  await until('the repair', async () => (await domnet.link(first.name))?.master === 'xenbr0');
  await plug(30);
  expect((await domnet.command('status', '--json')).stdout).toContain('"vif30.0"');
  expect(await end(daemon)).toBe(0);
});
