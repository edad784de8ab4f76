import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Xenstore } from 'node-xenstore';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exec, until } from '../../../test/support/process/exec.js';
import { Xenstored } from '../../../test/support/store/xenstored.js';

const project = fileURLToPath(new URL('../../..', import.meta.url));
const stranger = mkdtempSync(join(tmpdir(), 'node-xenstore-'));
const npm = (directory: string, ...args: string[]) =>
  exec('npm', [`--prefix=${directory}`, `--cache=${join(stranger, 'cache')}`, ...args]);
let server: Xenstored;

/** A project of a stranger's, which has the packages of others already that npm would fetch and compile. */
beforeAll(async () => {
  server = await Xenstored.start();
  const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  writeFileSync(join(stranger, 'package.json'), JSON.stringify({ dependencies }));
  const list = ['ls', '--workspace=node-xenstore', '--omit=dev', '--all', '--parseable', '--loglevel=error'];
  const paths = (await npm(project, ...list)).trim().split('\n');
  for (const path of paths.map((path) => path.replace(project, '').replace(/^\//, '')))
    if (path.startsWith('node_modules/') && path !== 'node_modules/node-xenstore')
      cpSync(join(project, path), join(stranger, path), { recursive: true, dereference: true });
  // A package without the links to its commands counts as one that npm has to install again.
  const commands = ['node-gyp-build', 'node-gyp-build-optional', 'node-gyp-build-test'];
  mkdirSync(join(stranger, 'node_modules/.bin'));
  for (const name of commands.map((name) => `node_modules/.bin/${name}`))
    symlinkSync(readlinkSync(join(project, name)), join(stranger, name));
});
afterAll(async () => {
  await server.stop();
  rmSync(stranger, { recursive: true });
});

test('npm pack makes a package that installs elsewhere, whose example lists vifs and follows one', async () => {
  await npm(project, 'pack', '--workspace=node-xenstore', `--pack-destination=${stranger}`);
  const [tarball = ''] = readdirSync(stranger).filter((name) => name.endsWith('.tgz'));
  await npm(stranger, 'install', '--offline', '--no-audit', '--no-fund', join(stranger, tarball));

  const store = await Xenstore.open({ path: server.socketPath });
  const write = (vif: string, keys: Record<string, string>) =>
    store.writeMany(Object.entries(keys).map(([key, value]) => [`backend/vif/${vif}/${key}`, value]));
  await write('5/0', { state: '4', bridge: 'xenbr0', 'hotplug-status': 'connected' });
  await write('6/1', { state: '2', bridge: 'xenbr1', 'hotplug-status': '' });
  const example = spawn('node', ['node_modules/node-xenstore/example/vifs.mjs', '6/1'], {
    cwd: stranger,
    env: { ...process.env, XENSTORED_PATH: server.socketPath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  example.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  await until('what is there', () => out.includes('state = 2'));
  await write('5/0', { state: '5' });
  await write('6/1', { 'hotplug-status': 'connected' });
  await until('the change', () => out.includes('hotplug-status = connected'));
  await store.rm('backend/vif/6');
  await until('its end', () => example.exitCode !== null);
  await store.close();
  expect(example.exitCode).toBe(0);
  const lines = out.trim().split('\n');
  expect(lines.slice(0, 2)).toEqual([
    '5/0  connected  state 4  bridge xenbr0',
    '6/1  waiting  state 2  bridge xenbr1',
  ]);
  expect(lines.slice(2).sort()).toEqual([
    '6/1 is gone',
    'bridge = xenbr1',
    'hotplug-status = ',
    'hotplug-status = connected',
    'state = 2',
  ]);
});
