import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif, Vifd } from '../../support/net/domnet.js';
import { attachedTo, pingBetween } from '../../support/net/ping.js';
import { exec, until } from '../../support/process/exec.js';

const without = fileURLToPath(new URL('../../support/process/without-nfnetlink.py', import.meta.url));

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

test('without nfnetlink: what needs no filter works, what needs one is not attached and says so', async () => {
  await exec('sh', [
    '-c',
    `printf '[log]\\nlevel = "trace"\\n[[vif]]\\ndomid = 5\\nantispoof = "off"\\n[[vif]]\\ndomid = 6\\nantispoof = "off"\\n' >${domnet.dir}/vifd.toml`,
  ]);
  const command = domnet.vifdCommand(['--config', `${domnet.dir}/vifd.toml`]);
  const child = spawn('python3', [without, ...command], {
    env: domnet.vifdEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const daemon = new Vifd(child);
  try {
    await daemon.logged('ready');
    const free: [Vif, Vif] = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })];
    const held = await domnet.plug({ domid: 7, keys: { ip: '10.0.0.7' } });
    for (const vif of free) await vif.connected();
    await held.status('error');
    expect(await held.read('hotplug-error')).toContain('nf_tables');
    await attachedTo(held, undefined);
    const ping = await pingBetween(...free);
    // Tries again after 0.5 s, 1 s, 2 s and so on, and no sooner.
    const before = daemon.reconciliations;
    const since = performance.now();
    await until('a second', () => performance.now() - since > 1000);
    expect(daemon.reconciliations - before).toBeLessThanOrEqual(4);
    expect((await ping.stop()).lost).toBe(0);
    expect((await domnet.command('status')).status).toBe(1);
    expect(await daemon.terminate()).toBe(0);
  } finally {
    if (child.exitCode === null) await daemon.kill();
  }
});
