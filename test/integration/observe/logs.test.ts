import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterAll(() => domnet.stop());

test('a life in JSON: constant messages, what varies in fields, nothing but that', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 5, devid: 2 });
  await vif.connected();
  const bad = await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
  await bad.status('error');
  await vif.unplug();
  await bad.unplug();
  await daemon.logged('vif removed', bad.name);
  expect(await daemon.terminate()).toBe(0);

  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const info = { level: 'info', time };
  const one = { vif: 'vif5.2', domid: 5, devid: 2 };
  const other = { vif: 'vif6.0', domid: 6, devid: 0 };
  const error = 'attach vif6.0 to bridge nowhere: no such bridge; the bridges here are xenbr0';
  const attached = { topology: 'bridge', bridge: 'xenbr0', mtu: 1500, ms: expect.any(Number) };
  expect(daemon.log).toEqual([
    { ...info, msg: 'starting', version: expect.any(String) },
    { ...info, msg: 'ready', domid: 0 },
    { ...info, ...one, ...attached, msg: 'vif attached' },
    {
      level: 'warn',
      time,
      ...other,
      error,
      errorKind: 'bridge',
      errorCode: 'bridge-missing',
      msg: 'vif not attached',
    },
    { ...info, ...one, msg: 'vif removed' },
    { ...info, ...other, msg: 'vif removed' },
    { ...info, msg: 'stopping', signal: 'SIGTERM' },
    { ...info, msg: 'stopped' },
  ]);
  expect(daemon.noise).toEqual([]);
});

test('on a terminal it is lines, and what is in a field steers nothing', async () => {
  const program = join(domnet.dir, 'log.mjs');
  const log = new URL('../../../dist/observe/log.js', import.meta.url).href;
  const fields = String.raw`{ bridge: 'x\u001b[2J\u009b', err: new Error('no \u009b') }`;
  writeFileSync(
    program,
    `const { createLog } = await import('${log}');\n(await createLog({ level: 'info' })).info(${fields}, 'vif attached');\n`,
  );
  const printed = await exec('script', ['-qec', `'${process.execPath}' '${program}'`, '/dev/null']);
  expect(printed).toContain(String.raw`"bridge":"x\u001b[2J\u009b"`);
  expect(printed).toContain(String.raw`Error: no \u009b`);
  expect(printed).not.toContain('\u009b');
});

test('the level is obeyed', async () => {
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "warn"', wait: false });
  const bad = await domnet.plug({ domid: 7, keys: { bridge: 'nowhere' } });
  await daemon.logged('vif not attached', bad.name);
  await daemon.terminate();
  expect(daemon.log.map(({ level }) => level)).toEqual(['warn']);
  await domnet.xenstore.rm(bad.backend);
});

test('at debug the changes of the host read as commands', async () => {
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "debug"' });
  const vif = await domnet.plug({ domid: 8 });
  await vif.connected();
  const actions = daemon.log.filter(({ msg }) => msg === 'host change').map(({ action }) => action);
  expect(actions).toEqual([expect.stringMatching(/^nft '/), `ip link set dev ${vif.name} master xenbr0 up`]);
  await vif.unplug();
  await daemon.terminate();
});

test('on a terminal it is for people, and ends with it', async () => {
  const command = domnet.vifdCommand().join(' ');
  const terminal = new Background('script', ['-qec', command, '/dev/null'], {
    ...domnet.vifdEnv,
    TERM: 'xterm',
    // A shell that stays between the two, and does not pass on the signal that ends it: vifd is told by SIGHUP alone.
    SHELL: '/bin/sh',
  });
  try {
    const vif = await domnet.plug({ domid: 9 });
    await vif.connected();
    const line = await until('the line of the vif', () =>
      terminal.lines.find((each) => each.includes('vif attached')),
    );
    expect(line).not.toMatch(/^\{/);
    expect(line).toMatch(/\d\d:\d\d:\d\d\.\d{3}.*INFO.*vif attached.*vif9\.0.*xenbr0/s);
  } finally {
    await terminal.stop('SIGTERM');
  }
  await until('an orderly end', () => !existsSync(join(domnet.dir, 'control.sock')));
});
