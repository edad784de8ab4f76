import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
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
  config = `[hooks]\ndirectory = "${dir.path}"\n`;
});

afterEach(async () => {
  await domnet.stop();
  dir.remove();
});

/** Where hooks note what they are told: a name that makes it no hook itself. */
const notes = 'notes.';

/** What the hooks have been told. */
const told = (): Record<string, unknown>[] =>
  existsSync(join(dir.path, notes))
    ? readFileSync(join(dir.path, notes), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    : [];

const events = (): unknown[] => told().map(({ event }) => event);

test('hooks are told of attach, update and detach, and not of a restart', async () => {
  dir.script('10-note', `cat >> ${dir.path}/${notes}`);
  const first = await domnet.vifd({ config });
  const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5 2001:db8::5' } });
  await vif.connected();
  await until('attach', () => told().length === 1);
  const facts = {
    vif: 'vif5.0',
    domid: 5,
    devid: 0,
    mac: '00:16:3e:00:05:00',
    ip: ['10.0.0.5', '2001:db8::5'],
    bridge: 'xenbr0',
    topology: 'bridge',
    netdev: 'vif5.0',
    mtu: 1500,
  };
  expect(told()).toEqual([{ event: 'attach', ...facts }]);
  await vif.write({ mtu: '1400' });
  await until('update', () => told().length === 2);
  expect(told()[1]).toEqual({ event: 'update', ...facts, mtu: 1400 });

  await first.terminate();
  const second = await domnet.vifd({ config });
  await second.logged('vif adopted', 'vif5.0');
  await vif.unplug();
  await until('detach', () => told().length === 3);
  expect(told()[2]).toEqual({ event: 'detach', ...facts, mtu: 1400 });
});

test('vifs that went while no daemon ran are detached by the next one, also where another has the number now', async () => {
  dir.script('note', `cat >> ${dir.path}/${notes}`);
  const first = await domnet.vifd({ config });
  const [gone, replaced, stays] = [
    await domnet.plug({ domid: 5 }),
    await domnet.plug({ domid: 6 }),
    await domnet.plug({ domid: 7 }),
  ];
  for (const vif of [gone, replaced, stays]) await vif.connected();
  await until('attach', () => told().length === 3);
  await first.kill();
  for (const vif of [gone, replaced]) {
    await vif.removeNetdev();
    await domnet.xenstore.rm(vif.backend);
  }
  await domnet.exec('nft', ['flush', 'ruleset']).catch(() => undefined);
  const other = await domnet.plug({ domid: 6, keys: { mac: '00:16:3e:00:66:66' } });
  const second = await domnet.vifd({ config });
  await other.connected();
  await until('three more', () => told().length === 6);
  const later = told().slice(3);
  expect(later.map(({ vif, event, mac }) => [vif, event, mac]).sort()).toEqual([
    ['vif5.0', 'detach', '00:16:3e:00:05:00'],
    ['vif6.0', 'attach', '00:16:3e:00:66:66'],
    ['vif6.0', 'detach', '00:16:3e:00:06:00'],
  ]);
  expect(later.filter(({ vif }) => vif === 'vif6.0').map(({ event }) => event)).toEqual(['detach', 'attach']);
  await second.logged('vif adopted', 'vif7.0');
});

test('a vif that is taken off the network is detached', async () => {
  dir.script('note', `cat >> ${dir.path}/${notes}`);
  await domnet.vifd({ config });
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  await vif.write({ bridge: 'nothing' });
  await vif.status('error');
  await until('detach', () => events().length === 2);
  await vif.write({ bridge: 'xenbr0' });
  await vif.connected();
  await until('attach', () => events().length === 3);
  expect(events()).toEqual(['attach', 'detach', 'attach']);
});

test('they are called one after another by name; one that fails, hangs or is unsafe harms nothing', async () => {
  dir.script('10-fails', 'echo the reason >&2; exit 4');
  dir.script('20-hangs', 'exec sleep 1000');
  chmodSync(dir.script('30-unsafe', `cat >> ${dir.path}/unsafe.`), 0o777);
  dir.script('40-deaf', 'exec <&-', 'exit 0');
  dir.script('50-note', `cat >> ${dir.path}/${notes}`);
  dir.script('60-left-behind.dpkg-old', `cat >> ${dir.path}/old.`);
  const daemon = await domnet.vifd({ config });
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  // While the first vif's hooks hang, another's are called, and vifs come and go.
  const other = await domnet.plug({ domid: 6 });
  await other.connected();
  await vif.unplug();
  await until('both events of the vif', () => told().filter(({ domid }) => domid === 5).length === 2, 30_000);
  expect(
    told()
      .filter(({ domid }) => domid === 5)
      .map(({ event }) => event),
  ).toEqual(['attach', 'detach']);
  expect(told().filter(({ domid }) => domid === 6)).toHaveLength(1);
  const failures = daemon.log
    .filter(({ msg, vif: of }) => msg === 'hook failed' && of === 'vif5.0')
    .slice(0, 3);
  expect(failures.map(({ hook, error }) => [hook, error])).toEqual([
    ['10-fails', 'it ended with status 4'],
    ['20-hangs', 'it did not end within 10 s and was killed'],
    ['30-unsafe', expect.stringMatching(/can be written by others than root/)],
  ]);
  const output = daemon.log.find(({ msg }) => msg === 'hook output');
  expect(output?.line).toBe('the reason');
  expect(existsSync(join(dir.path, 'unsafe.'))).toBe(false);
  expect(existsSync(join(dir.path, 'old.'))).toBe(false);
});

test('those under way end with a daemon that is killed, children and all', async () => {
  const hook = dir.script('10-hangs', 'sleep 1000 & echo $$ $! > "$0.pids"; wait');
  const daemon = await domnet.vifd({ config });
  const vifs = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })];
  for (const vif of vifs) await vif.connected();
  await until('both hooks', () => processesWith(hook).length === 2);
  const pids = await until('their pids', () => {
    const text = existsSync(`${hook}.pids`) ? readFileSync(`${hook}.pids`, 'utf8') : '';
    return text.endsWith('\n') && text.trim().split(' ').map(Number);
  });
  expect(pids.map((pid) => wordsOf(pid).length > 0)).toEqual([true, true]);
  await daemon.kill();
  await until('their end', () => processesWith(hook).length === 0, 1000);
  for (const pid of pids) await until('its end', () => wordsOf(pid).length === 0, 1000);
});

test('a directory that is not there is said and harms nothing', async () => {
  const daemon = await domnet.vifd({ config: `[hooks]\ndirectory = "${dir.path}/nothing"\n` });
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  const line = await daemon.logged('hooks not called', 'vif5.0');
  expect(line.error).toMatch(/ENOENT/);
});
