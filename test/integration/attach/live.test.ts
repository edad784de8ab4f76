import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.addBridge('xenbr1');
  await domnet.ip('address add 10.7.0.1/24 dev xenbr0');
  await domnet.ip('address add 10.7.1.1/24 dev xenbr1');
});

afterEach(() => domnet.stop());

const guest = async (): Promise<Vif> => {
  const vif = await domnet.plug({ domid: 5 });
  await vif.guestIp('address add 10.7.0.5/24 dev eth0');
  await vif.guestIp('address add 10.7.1.5/24 dev eth0');
  await vif.connected();
  await vif.guestExec('ping', ['-c', '3', '-i', '0.1', '-W', '1', '-w', '5', '10.7.0.1']);
  return vif;
};

/** Pings while `change` is made, and counts what was lost of 100 requests 10 ms apart. */
const lost = async (vif: Vif, change: () => Promise<void>): Promise<number> => {
  const pinged = vif.guestExec('ping', ['-q', '-c', '100', '-i', '0.01', '10.7.0.1']);
  await change();
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await pinged) ?? [];
  return Number(sent) - Number(received);
};

test('another MTU loses no packet, and the guest is told', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest();
  const changed = async () => {
    await vif.write({ mtu: '1400' });
    await until('the MTU', async () => (await domnet.link('vif5.0'))?.mtu === 1400);
  };
  expect(await lost(vif, changed)).toBe(0);
  expect(await domnet.xenstore.read(`${vif.frontend}/mtu`)).toBe('1400');
  // The bridge keeps the MTU that it has.
  expect((await daemon.logged('vif updated', 'vif5.0')).actions).toEqual([
    'ip link set dev xenbr0 mtu 1501 && ip link set dev xenbr0 mtu 1500',
    'ip link set dev vif5.0 mtu 1400',
  ]);
});

test('a key that changes nothing on the host loses no packet', async () => {
  await domnet.vifd();
  const vif = await guest();
  const { ifindex } = (await domnet.link('vif5.0')) as { ifindex: number };
  const changed = () => vif.write({ ip: '10.7.0.5 10.7.1.5', script: '/usr/local/etc/vif-bridge' });
  expect(await lost(vif, changed)).toBe(0);
  expect(await domnet.link('vif5.0')).toMatchObject({ ifindex, master: 'xenbr0' });
});

test('another bridge is moved to in one message, the link staying up', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest();
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  await vif.write({ bridge: 'xenbr1' });
  await until('the move', async () => (await domnet.link('vif5.0'))?.master === 'xenbr1');
  await vif.guestExec('ping', ['-c', '1', '-W', '5', '10.7.1.1']);
  const line = await daemon.logged('vif updated', 'vif5.0');
  expect(line).toMatchObject({ bridge: 'xenbr1', actions: ['ip link set dev vif5.0 master xenbr1'] });
  expect(await vif.read('hotplug-status')).toBe('connected');
  await beside.untouched();
});

test('what another program changed is a repair, what dom0 changed an update', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest();
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  await domnet.ip('link set vif5.0 nomaster');
  await daemon.logged('vif repaired', 'vif5.0');
  await vif.write({ mtu: '1300' });
  await daemon.logged('vif updated', 'vif5.0');
  expect(daemon.log.filter(({ msg }) => msg === 'vif repaired')).toHaveLength(1);
  await beside.untouched();
});

test('a bridge that is not there yet takes the vif off the old one, and it heals', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest();
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  await vif.write({ bridge: 'xenbr2' });
  await vif.status('error');
  expect((await domnet.link('vif5.0'))?.master).toBeUndefined();
  await domnet.addBridge('xenbr2');
  await vif.connected();
  expect((await domnet.link('vif5.0'))?.master).toBe('xenbr2');
  expect(await exec('ip', ['-n', domnet.namespace, 'link', 'show', 'vif5.0'])).toMatch(/master xenbr2/);
  await beside.untouched();
});
