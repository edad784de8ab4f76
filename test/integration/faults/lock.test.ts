import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { until } from '../../support/process/exec.js';

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
