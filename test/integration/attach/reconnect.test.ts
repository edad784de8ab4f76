import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { answers, attachedTo, linkOf, Monitor, pingBetween } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.vifd();
});
afterAll(() => domnet.stop());

test('a guest that reconnects (4, 5, 6, 2, 4 with online=1) keeps its attachment', async () => {
  const vif = await domnet.plug({ domid: 1 });
  const peer = await domnet.plug({ domid: 2 });
  for (const { connected } of [vif, peer].map((each) => ({ connected: each.connected() }))) await connected;
  await vif.setState(4);
  const { ifindex } = await linkOf(vif);
  const ping = await pingBetween(vif, peer);
  const monitor = await Monitor.start(domnet);

  for (const state of [5, 6, 2, 4]) {
    await vif.setState(state);
    // The daemon has had time to see this state: it has served another vif since.
    const other = await domnet.plug({ domid: 100 + state });
    await other.connected();
    expect(await vif.read('hotplug-status')).toBe('connected');
    await answers(ping, 3);
  }
  expect((await linkOf(vif)).ifindex).toBe(ifindex);
  expect(await monitor.changesOf(vif, peer)).toEqual([]);
  expect((await ping.stop()).lost).toBe(0);
});

test.each([undefined, 'back0'])('a reloaded netback is attached again, vifname %s', async (vifname) => {
  const vif = await domnet.plug({ domid: 3, keys: { vifname } });
  await vif.connected();
  const name = vifname ?? vif.name;
  const { ifindex } = await linkOf(vif, name);
  await vif.removeNetdev(name);
  await vif.addNetdev();
  const link = await attachedTo(vif, 'xenbr0', name);
  expect(link.ifindex).not.toBe(ifindex);
  await until('the status', async () => (await vif.read('hotplug-status')) === 'connected');
  expect(await vif.read('hotplug-error')).toBeUndefined();
  await vif.unplug();
});

test('a status that netback removed is written again', async () => {
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  await domnet.xenstore.rm(`${vif.backend}/hotplug-status`);
  await vif.connected();
});
