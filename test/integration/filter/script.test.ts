import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Foreign } from '../../support/net/foreign-table.js';
import { openTables } from '../../support/net/open-tables.js';
import { attempts, lastOne } from '../../support/packets/forgeries.js';
import { Capture, send } from '../../support/packets/packets.js';
import { ipKey } from '../../support/packets/parties.js';
import { until } from '../../support/process/exec.js';
import { TrustedDir } from '../../support/process/trusted-dir.js';

const parties = { from: '00:16:3e:00:01:00', to: '00:16:3e:00:02:00' };

let domnet: Domnet;
let dir: TrustedDir;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  dir = new TrustedDir();
});
afterEach(async () => {
  await domnet.stop();
  dir.remove();
});

const start = (mode = 'auto') =>
  domnet.vifd({ config: `[scripts]\ndirectories = ["${dir.path}"]\n[antispoof]\nmode = "${mode}"\n` });

/** A script that makes a bridge port of its vif, and notes the rules it found each time. */
const script = (): string =>
  dir.script(
    'vif-mine',
    `echo "$1 $(nft list ruleset | grep -c 'chain '$vif)" >> ${dir.path}/runs`,
    'case $1 in',
    'online) ip link set $vif master xenbr0 up && xenstore-write $XENBUS_PATH/hotplug-status connected;;',
    'offline) ip link set $vif nomaster down;;',
    'esac',
  );
const runs = (): string[] =>
  existsSync(join(dir.path, 'runs')) ? readFileSync(join(dir.path, 'runs'), 'utf8').trim().split('\n') : [];

const plug = (keys: Record<string, string> = { ip: ipKey }): Promise<Vif> =>
  domnet.plug({ domid: 1, keys: { script: script(), ...keys } });

const ruleset = (): Promise<string> => domnet.exec('nft', ['list', 'ruleset']);

/** What of all that can be tried arrives at a guest on the same bridge although it should not, or the other way round. */
async function wrong(): Promise<string[]> {
  const tried = attempts(parties);
  const capture = await Capture.start(await domnet.guestNamespace(2), 'eth0');
  await send(await domnet.guestNamespace(1), 'eth0', [...tried.map(({ frame }) => frame), lastOne(parties)]);
  await capture.arrival(lastOne(parties));
  await capture.stop();
  return tried.filter(({ honest, frame }) => honest !== capture.saw(frame)).map(({ what }) => what);
}

test('a vif is held before its script runs, while it is in force, and until it is undone', async () => {
  await openTables(domnet, 'netdev vifd');
  const daemon = await start();
  const vif = await plug();
  const other = await domnet.plug({ domid: 2 });
  await Promise.all([vif.connected(), other.connected()]);
  expect(runs()).toEqual(['online 1']);
  expect(await wrong()).toEqual([]);

  await domnet.exec('nft', ['flush', 'ruleset']);
  await until('the rules', async () => (await ruleset()).includes('chain vif1.0_'));
  await daemon.logged('vif repaired', 'vif1.0');
  expect(await wrong()).toEqual([]);

  await vif.write({ ip: '10.0.0.77' });
  await until('the new address', async () => (await ruleset()).includes('"vif1.0" . 10.0.0.77 '));
  expect(runs()).toEqual(['online 1']);

  // In a driver domain the interface goes before the script is told.
  await vif.unplug();
  await until('the rules to go', async () => !(await ruleset()).includes('chain vif1.0_'));
  expect(runs()).toHaveLength(2);
});

test('the rules stay until the script has been undone when the vif goes to a topology of ours', async () => {
  await start();
  const vif = await plug();
  await vif.connected();
  // One after the other: keys that are written together may be read half.
  await vif.write({ script: '/etc/xen/scripts/vif-bridge' });
  await until('the end of it', () => runs().length === 2);
  expect(runs()).toEqual(['online 1', 'offline 1']);
  await vif.write({ ip: '' });
  await until('its addresses to go', async () => !(await ruleset()).includes('"vif1.0" . 10.'));
});

test('auto leaves one without ip alone', async () => {
  await start();
  const vif = await plug({});
  await vif.connected();
  expect(runs()).toEqual(['online 0']);
});

test('strict runs no script without ip', async () => {
  await start('strict');
  const vif = await plug({});
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toMatch(/^hold vif1\.0 to its addresses: the ip key is empty/);
  expect(runs()).toEqual([]);
  await vif.write({ ip: '10.0.0.1' });
  await vif.connected();
  expect(runs()).toEqual(['online 1']);
});

test('no script is run while the rules cannot be had', async () => {
  const foreign = await Foreign.table(domnet);
  await start();
  const vif = await plug();
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toMatch(/^run nft 'add element netdev vifd networks4 /);
  expect(runs()).toEqual([]);
  foreign.end();
  await vif.connected();
  expect(runs()).toEqual(['online 1']);
});

test('when they are lost and cannot be had again the link goes down, and the script is run anew later', async () => {
  await openTables(domnet, 'netdev vifd');
  await start();
  const vif = await plug();
  await vif.connected();
  const foreign = await Foreign.table(domnet, 'delete table netdev vifd; ');
  await vif.status('error');
  expect((await domnet.link('vif1.0'))?.flags).not.toContain('UP');
  expect(runs()).toEqual(['online 1', 'offline 0']);
  foreign.end();
  await vif.connected();
  expect(runs()).toEqual(['online 1', 'offline 0', 'online 1']);
});
