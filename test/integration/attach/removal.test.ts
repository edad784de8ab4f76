import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { attachedTo, linkOf } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;
/** They live through all of it, and the daemons that come after the first. */
let beside: Neighbours;
const later: Vifd[] = [];

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.addBridge('xenbr1');
  daemon = await domnet.vifd();
  beside = await Neighbours.of(daemon, domnet, 'bridge');
});
afterAll(() => domnet.stop());

async function another(): Promise<void> {
  daemon = await domnet.vifd();
  later.push(daemon);
}

const deleted = (vif: Vif) => until(`the deletion of ${vif.backend}`, async () => !(await vif.exists()));

async function plugged(domid: number, bridge = 'xenbr0'): Promise<Vif> {
  const vif = await domnet.plug({ domid, keys: { bridge } });
  await vif.connected();
  return vif;
}

/** A device that came later has been seen to, and so has everything before it. */
async function overtaken(domid: number): Promise<void> {
  await (await plugged(domid)).unplug();
}

test('the backend is deleted, and the host cleaned, at online=0 and state 6', async () => {
  const vif = await plugged(1);
  await vif.setState(4);
  await vif.write({ online: '0', state: '5' });
  await overtaken(2);
  // netback is still closing.
  expect(await vif.exists()).toBe(true);
  await attachedTo(vif, 'xenbr0');
  await vif.setState(6);
  await deleted(vif);
  await attachedTo(vif, undefined);
  expect(await daemon.logged('vif removed', vif.name)).toMatchObject({ level: 'info', domid: 1, devid: 0 });
  // The frontend and what is above the device are dom0's.
  expect(await domnet.xenstore.exists(vif.frontend)).toBe(true);
  expect(await domnet.xenstore.exists('backend/vif/1')).toBe(true);
});

test('also when the netdev is gone already, and its hotplug-status with it', async () => {
  const vif = await plugged(3);
  await vif.write({ online: '0', state: '5' });
  await vif.removeNetdev();
  await domnet.xenstore.rm(`${vif.backend}/hotplug-status`);
  await vif.setState(6);
  await deleted(vif);
});

test('also when it never had a netdev', async () => {
  const vif = await domnet.writeDevice({ domid: 4 });
  await vif.write({ online: '0', state: '6' });
  await deleted(vif);
});

test('also when it was never attached, for a missing bridge or a malformed key', async () => {
  for (const [domid, keys] of [
    [5, { bridge: 'nowhere' }],
    [6, { mac: 'nonsense' }],
    [7, { script: undefined }],
  ] as const) {
    const vif = await domnet.plug({ domid, keys });
    await vif.status('error');
    await vif.unplug();
  }
});

test('also when dom0 asked while the daemon was not there', async () => {
  const vif = await plugged(8);
  await daemon.kill();
  await vif.write({ online: '0', state: '6' });
  await vif.removeNetdev();
  await another();
  await deleted(vif);
});

test('after a directory that dom0 deleted itself the host is cleaned', async () => {
  const vif = await plugged(10);
  await domnet.xenstore.rm(vif.backend);
  await attachedTo(vif, undefined);
  await daemon.logged('vif removed', vif.name);
  await overtaken(11);
  // Nothing was written into what is gone.
  expect(await vif.exists()).toBe(false);
});

test('also when dom0 deleted it while the daemon was not there', async () => {
  const vif = await plugged(13);
  await daemon.kill();
  await domnet.xenstore.rm(vif.backend);
  await another();
  await attachedTo(vif, undefined);
});

test('a domid that is used again inherits nothing', async () => {
  const before = await domnet.plug({ domid: 20, keys: { bridge: 'xenbr1', mtu: '1300', vifname: 'before' } });
  await before.connected();
  await before.unplug();
  const after = await plugged(20);
  expect(await linkOf(after)).toMatchObject({ master: 'xenbr0', mtu: 1500 });
  expect((await linkOf(after)).ifalias).toBeUndefined();
  await after.unplug();
});

test('a device attached again under the same number at once is served', async () => {
  for (let round = 0; round < 10; round++) {
    const bridge = `xenbr${round % 2}`;
    const vif = await plugged(21, bridge);
    await attachedTo(vif, bridge);
    await vif.write({ online: '0', state: '5' });
    await vif.setState(6);
    await vif.removeNetdev();
    await deleted(vif);
    // libxl is quick: nothing above the device is removed in between.
  }
});

test('one that takes the place of another in the same transaction is not deleted', async () => {
  const vif = await plugged(22);
  for (let round = 0; round < 10; round++) {
    await vif.write({ online: '0', state: '6' });
    // Whether the daemon was quicker or dom0, the new one stays.
    await domnet.writeDevice({ domid: 22, keys: { bridge: `xenbr${round % 2}` } });
    await attachedTo(vif, `xenbr${round % 2}`);
    await vif.connected();
  }
});

test('two guests beside all that came and went have lost nothing', () => beside.untouched(...later));

// From here on they go with the others.
test.each(['backend/vif/12', 'backend/vif', 'backend'])(
  'after a directory that went with %s the host is cleaned',
  async (path) => {
    const vif = await plugged(12);
    await domnet.xenstore.rm(path);
    await attachedTo(vif, undefined);
    await vif.removeNetdev();
  },
);
