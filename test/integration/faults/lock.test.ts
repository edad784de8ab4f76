import { chmodSync, existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { exec, until } from '../../support/process/exec.js';

/** Two daemons ran in 2 of 10 rounds, before there was a lock. */
const rounds = process.env.FAULTS === 'all' ? 10 : 1;

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  chmodSync(domnet.dir, 0o755);
  await domnet.addBridge('xenbr0');
});
afterAll(() => domnet.stop());

test('five daemons started at once, again and again: one runs, and the others say why they do not', {
  timeout: 300_000,
}, async () => {
  const vif = await domnet.plug({ domid: 5 });
  for (let round = 0; round < rounds; round++) {
    const daemons = await Promise.all(Array.from({ length: 5 }, () => domnet.vifd({ wait: false })));
    const ended = new Set<Vifd>();
    for (const daemon of daemons) void daemon.exited().then(() => ended.add(daemon));
    await until('four that have ended', () => ended.size === 4, 20_000);
    const [left] = daemons.filter((daemon) => !ended.has(daemon));
    await left?.logged('ready');
    for (const daemon of ended)
      expect(daemon.log.at(-1)).toMatchObject({ error: expect.stringContaining('vifd runs already') });
    await vif.connected();
    expect((await domnet.command('status', vif.name)).status).toBe(0);
    // The next round begins with a socket that is left, and a lock that the kernel has given back.
    await left?.kill();
  }
});

test('its directory deleted under it: made again with socket and lock, and no second daemon runs', async () => {
  const vifs = [await domnet.plug({ domid: 6 }), await domnet.plug({ domid: 7 })];
  const env = { VIFD_RUNTIME_DIR: join(domnet.dir, 'run'), WATCHDOG_USEC: '1000000' };
  const daemon = await domnet.vifd({ env });
  for (const vif of vifs) await vif.connected();
  rmSync(env.VIFD_RUNTIME_DIR, { recursive: true });
  await daemon.logged('control socket lost, made again');
  const socket = join(env.VIFD_RUNTIME_DIR, 'control.sock');
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  const curl = ['-sS', '--unix-socket', socket, 'http://vifd/status'];
  const { vifs: served } = JSON.parse(await exec('curl', curl)) as { vifs: { state: string }[] };
  expect(served.filter(({ state }) => state === 'attached')).toHaveLength(3);
  const second = await domnet.vifd({ env, wait: false });
  await second.exited();
  expect(second.log.at(-1)).toMatchObject({ error: expect.stringContaining('vifd runs already') });
  await daemon.terminate();
  expect(existsSync(socket)).toBe(false);
});
