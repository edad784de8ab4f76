import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { until } from '../../support/process/exec.js';
import { processesWith, wordsOf } from '../../support/process/processes.js';
import { TrustedDir } from '../../support/process/trusted-dir.js';

let domnet: Domnet;
let dir: TrustedDir;
let config: string;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  dir = new TrustedDir();
  config = `[scripts]\ndirectories = ["${dir.path}"]\n`;
});

afterEach(async () => {
  await domnet.stop();
  dir.remove();
});

const connect = 'xenstore-write $XENBUS_PATH/hotplug-status connected';
/** Notes each run, so that a test can tell how often and with what it was called. */
const note = () => `echo "$*" >> ${dir.path}/runs`;
const runs = (): string[] =>
  existsSync(join(dir.path, 'runs')) ? readFileSync(join(dir.path, 'runs'), 'utf8').trim().split('\n') : [];

const plug = (script: string, domid = 5): Promise<Vif> => domnet.plug({ domid, keys: { script } });

const output = (daemon: Vifd): unknown[] =>
  daemon.log.filter(({ msg }) => msg === 'script output').map(({ line }) => line);

const error = (vif: Vif) => vif.read('hotplug-error');

test('a script gets what xl devd gives it, and its own status stands', async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    `env > ${dir.path}/env`,
    'echo said; echo cried >&2',
    connect,
  );
  const daemon = await domnet.vifd({ config });
  const vif = await domnet.plug({ domid: 5, keys: { script, gatewaydev: 'eth7' } });
  await vif.connected();
  const line = await daemon.logged('vif attached', 'vif5.0');
  expect(line.topology).toBe('script');
  expect(runs()).toEqual(['online type_if=vif']);
  const env = readFileSync(join(dir.path, 'env'), 'utf8').split('\n');
  expect(env).toEqual(
    expect.arrayContaining([
      'XENBUS_PATH=backend/vif/5/0',
      'XENBUS_TYPE=vif',
      'XENBUS_BASE_PATH=backend',
      'vif=vif5.0',
      'netdev=eth7',
      `script=${script}`,
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]),
  );
  await until('its output in the log', () => output(daemon).length === 2);
  expect(output(daemon).sort()).toEqual(['cried', 'said']);
  expect(await error(vif)).toBeUndefined();
  // Nothing of ours on the link.
  expect((await domnet.link('vif5.0'))?.master).toBeUndefined();
});

test('it is told when the vif goes, while its keys can still be read', async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    `xenstore-read $XENBUS_PATH/mac >> ${dir.path}/runs`,
    connect,
  );
  await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.connected();
  const mac = await vif.read('mac');
  await vif.unplug();
  expect(runs()).toEqual(['online type_if=vif', mac, 'offline type_if=vif', mac]);
  expect(readdirSync(join(domnet.dir, 'scripts'))).toEqual([]);
});

test('a restart runs it neither again nor off', async () => {
  const script = dir.script('vif-mine', note(), connect);
  const first = await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.connected();
  await first.logged('vif attached', 'vif5.0');
  await first.terminate();
  const second = await domnet.vifd({ config });
  await second.logged('vif adopted', 'vif5.0');
  expect(runs()).toEqual(['online type_if=vif']);
  await vif.unplug();
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif']);
});

test('a vif that another agent has connected by it is adopted, and undone in the end', async () => {
  const script = dir.script('vif-mine', note());
  const vif = await plug(script);
  await vif.write({ 'hotplug-status': 'connected', state: '4' });
  const daemon = await domnet.vifd({ config });
  await daemon.logged('vif adopted', 'vif5.0');
  expect(runs()).toEqual([]);
  await vif.unplug();
  expect(runs()).toEqual(['offline type_if=vif']);
});

test('a vif that went while the daemon was away is undone at the next start', async () => {
  const script = dir.script('vif-mine', note(), connect);
  const first = await domnet.vifd({ config });
  const vif = await plug(script);
  await first.logged('vif attached', 'vif5.0');
  await first.kill();
  await domnet.xenstore.rm(vif.backend);
  await vif.removeNetdev();
  await domnet.vifd({ config });
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif']);
});

test("a script that fails with words of its own has those in hotplug-error, and isn't run again for nothing", async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    'ip link set $vif up',
    'xenstore-write $XENBUS_PATH/hotplug-error "no luck" $XENBUS_PATH/hotplug-status error',
    '[ "$1" = offline ]',
  );
  const daemon = await domnet.vifd({ config });
  const vif = await plug(script);
  const line = await daemon.logged('vif not attached', 'vif5.0');
  expect(line).toMatchObject({ error: `run script ${script}: no luck`, errorKind: 'script' });
  // Several events later: a link that changed, and a key that decides nothing.
  await domnet.ip('link set vif5.0 mtu 1400');
  await vif.write({ 'feature-x': '1', state: '2' });
  await vif.write({ 'hotplug-status': 'error' });
  expect(await error(vif)).toBe('no luck');
  expect(runs()).toEqual(['online type_if=vif']);
  // dom0 changes something: off, and on again.
  await vif.write({ bridge: 'xenbr1' });
  await until('another run', () => runs().length === 3);
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif', 'online type_if=vif']);
});

test('a script that fails without a word has our words', async () => {
  const script = dir.script('vif-mine', 'exit 3');
  await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.status('error');
  expect(await error(vif)).toBe(`run script ${script}: it ended with status 3`);
});

test('a script that writes nothing leaves the vif waiting, as with xl devd, and that is said', async () => {
  const script = dir.script('vif-mine', 'exit 0');
  const daemon = await domnet.vifd({ config });
  const vif = await plug(script);
  const line = await daemon.logged('vif waits for its script', 'vif5.0');
  expect(line.error).toBe(`run script ${script}: it ended well but wrote no hotplug-status`);
  expect(await vif.read('hotplug-status')).toBe('');
  // Something it started may write it later.
  await vif.write({ 'hotplug-status': 'connected' });
  await daemon.logged('vif attached', 'vif5.0');
});

test('one that hangs holds up no other vif, and goes with its vif, children and all', async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    '[ "$1" = offline ] && exit',
    `sleep 1000 & echo $! > ${dir.path}/pid; wait`,
  );
  const vif = await plug(script);
  const daemon = await domnet.vifd({ config });
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  const other = await domnet.plug({ domid: 6 });
  await other.connected();
  const pid = await until(
    'the child',
    () => existsSync(`${dir.path}/pid`) && readFileSync(`${dir.path}/pid`, 'utf8').trim(),
  );
  await vif.unplug();
  await until('the child to end', () => !existsSync(`/proc/${pid}`) || isZombie(pid));
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif']);
  await daemon.logged('vif removed', 'vif5.0');
  await beside.untouched();
});

test('one that was cut short by the end of the daemon begins anew', async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    `[ "$1" = offline ] || [ -e ${dir.path}/again ] || exec sleep 1000`,
    connect,
  );
  const first = await domnet.vifd({ config });
  const vif = await plug(script);
  await until('the first run', () => runs().length === 1);
  await first.terminate();
  dir.script('again');
  await domnet.vifd({ config });
  await vif.connected();
  await until('the second run', () => runs().length === 3);
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif', 'online type_if=vif']);
});

test('those under way end with a daemon that is killed, children and all, and one that has ended leaves what it started', async () => {
  const background = (name: string) => `sleep 1000 >/dev/null 2>&1 & echo $! > ${dir.path}/${name}`;
  const hanging = dir.script('vif-hanging', `${background('child')}; echo $$ > ${dir.path}/self; wait`);
  const done = dir.script('vif-done', background('daemon'), connect);
  const daemon = await domnet.vifd({ config });
  const vifs = [await plug(done, 5), await plug(hanging, 6), await plug(hanging, 7)];
  await vifs[0]?.connected();
  await daemon.logged('vif attached', 'vif5.0');
  const pidIn = (name: string) =>
    until(`the pid of ${name}`, () => {
      const file = `${dir.path}/${name}`;
      // It exists before it is written.
      return existsSync(file) && (Number(readFileSync(file, 'utf8')) || undefined);
    });
  const [child, self, left] = await Promise.all(['child', 'self', 'daemon'].map(pidIn));
  try {
    await daemon.kill();
    for (const pid of [child, self]) await until('its end', () => wordsOf(pid as number).length === 0, 1000);
    expect(processesWith(hanging)).toEqual([]);
    expect(wordsOf(left as number)).toEqual(['sleep', '1000']);
  } finally {
    process.kill(left as number, 'SIGKILL');
  }
});

test('one that does not end is killed with its group after 40 s', async () => {
  const script = dir.script('vif-mine', `sleep 1000 & echo $! > ${dir.path}/pid; wait`);
  await domnet.vifd({ config });
  const vif = await plug(script);
  await until('hotplug-error', () => error(vif), 50_000);
  expect(await error(vif)).toBe(`run script ${script}: it did not end within 40 s and was killed`);
  const pid = readFileSync(`${dir.path}/pid`, 'utf8').trim();
  await until('the child to end', () => !existsSync(`/proc/${pid}`) || isZombie(pid));
});

test('what it prints is bounded', async () => {
  const script = dir.script('vif-mine', 'seq 1000', 'head -c 100000 /dev/zero | tr "\\\\0" x', connect);
  const daemon = await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.connected();
  await daemon.logged('vif attached', 'vif5.0');
  expect(output(daemon)).toHaveLength(101);
  expect(output(daemon).at(-1)).toBe('further output is left out');
});

test.each<[string, (file: string) => string | undefined, RegExp]>([
  ['belongs to another', (file) => void chownSync(file, 65534, 0), /belongs to uid 65534/],
  [
    'can be written by its group',
    (file) => void chmodSync(file, 0o775),
    /can be written by others than root; run: chmod go-w/,
  ],
  ['can be written by others', (file) => void chmodSync(file, 0o757), /can be written by others/],
  ['is in a directory others can write', () => void chmodSync(dir.path, 0o777), /can be written by others/],
  ['is in a directory of another', () => void chownSync(dir.path, 65534, 0), /belongs to uid 65534/],
  ['is not executable', (file) => void chmodSync(file, 0o644), /not executable; run: chmod \+x/],
  ['is a directory', () => mkdirSync(join(dir.path, 'folder'), { recursive: true }), /it is not a file/],
  ['is not there', () => join(dir.path, 'nothing'), /no such file/],
  [
    'is a link that leads out',
    () => {
      symlinkSync('/bin/true', join(dir.path, 'link'));
      return join(dir.path, 'link');
    },
    /leads to .*true, which is not in/,
  ],
])('a script that %s is not run', async (_, spoil, reason) => {
  const file = dir.script('vif-mine', note());
  const script = spoil(file) ?? file;
  await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.status('error');
  expect(await error(vif)).toMatch(reason);
  expect(runs()).toEqual([]);
});

test('a script elsewhere is not run, a link within is', async () => {
  dir.script('real', note(), connect);
  symlinkSync('real', join(dir.path, 'vif-mine'));
  await domnet.vifd({ config });
  const vif = await plug(join(dir.path, 'vif-mine'));
  await vif.connected();
  const other = await plug('/bin/true', 6);
  await other.status('error');
  expect(await error(other)).toMatch(/choose the topology of vif6.0 by script \/bin\/true/);
});

test('a name can be mapped to a topology of ours', async () => {
  await domnet.vifd({ config: `${config}\n[scripts.map]\nvif-mine = "bridge"\n` });
  const vif = await plug(dir.script('vif-mine', note()));
  await vif.connected();
  expect((await domnet.link('vif5.0'))?.master).toBe('xenbr0');
  expect(runs()).toEqual([]);
});

test('from a bridge to a script and back, without unplugging', async () => {
  const script = dir.script(
    'vif-mine',
    note(),
    'case $1 in online) ip link set $vif up mtu 1300;; offline) ip link set $vif down;; esac',
    `[ $1 = offline ] || ${connect}`,
  );
  const daemon = await domnet.vifd({ config });
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  await vif.write({ script });
  await until('the script', () => daemon.log.filter(({ msg }) => msg === 'vif attached').length === 2);
  expect(await domnet.link('vif5.0')).toMatchObject({ mtu: 1300, flags: expect.arrayContaining(['UP']) });
  expect((await domnet.link('vif5.0'))?.master).toBeUndefined();
  await vif.write({ script: '/etc/xen/scripts/vif-bridge' });
  await until('the bridge', async () => (await domnet.link('vif5.0'))?.master === 'xenbr0');
  expect(runs()).toEqual(['online type_if=vif', 'offline type_if=vif']);
  expect(await vif.read('hotplug-status')).toBe('connected');
});

test('the stock vif-bridge, under another name, works as it did', async () => {
  for (const file of readdirSync('/etc/xen/scripts')) {
    if (/^vif-bridge$|\.sh$/.test(file)) {
      const lines = readFileSync(join('/etc/xen/scripts', file), 'utf8').split('\n');
      dir.script(file === 'vif-bridge' ? 'vif-stock' : file, ...lines.slice(1));
    }
  }
  const script = join(dir.path, 'vif-stock');
  await domnet.exec('sed', ['-i', '1s,.*,#!/bin/bash,', script]);
  await domnet.vifd({ config });
  const vif = await plug(script);
  await vif.connected();
  expect((await domnet.link('vif5.0'))?.master).toBe('xenbr0');
  await vif.unplug();
});

const isZombie = (pid: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') ?? false;
  } catch {
    return true;
  }
};
