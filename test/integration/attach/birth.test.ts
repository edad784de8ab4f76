import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { answers, attachedTo, linkOf, pingBetween } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.vifd({ config: '[log]\nlevel = "debug"' });
});
afterAll(() => domnet.stop());

test('the backend path may come, vanish and return', async () => {
  expect(await domnet.xenstore.exists('backend')).toBe(false);
  for (const domid of [1, 2]) {
    const vif = await domnet.plug({ domid });
    await vif.connected();
    await vif.unplug();
    expect(await domnet.xenstore.exists('backend')).toBe(false);
  }
});

test('packets cross between two guests', async () => {
  const vifs = [await domnet.plug({ domid: 3 }), await domnet.plug({ domid: 4 })] as const;
  for (const vif of vifs) await vif.connected();
  const ping = await pingBetween(...vifs);
  await answers(ping, 5);
  expect((await ping.stop()).lost).toBe(0);
});

test('it does not wait for state 2', async () => {
  const vif = await domnet.writeDevice({ domid: 5 });
  await vif.addNetdev();
  await vif.connected();
  expect(await vif.read('state')).toBe('1');
});

test('a netdev that comes late is waited for', async () => {
  const late = await domnet.writeDevice({ domid: 6 });
  const other = await domnet.plug({ domid: 7 });
  await other.connected();
  expect(await late.read('hotplug-status')).toBe('');
  await late.addNetdev();
  await late.connected();
});

test('a netdev that came before its keys is attached', async () => {
  const scratch = await domnet.writeDevice({ domid: 8 });
  await domnet.xenstore.rm(scratch.backend);
  await scratch.addNetdev();
  const vif = await domnet.writeDevice({ domid: 8 });
  await vif.connected();
  await attachedTo(vif, 'xenbr0');
});

test('several devices of one guest', async () => {
  const vifs = [];
  for (const devid of [0, 1, 2, 10]) vifs.push(await domnet.plug({ domid: 9, devid }));
  for (const vif of vifs) await vif.connected();
});

describe('what vif-bridge does to the interface', () => {
  test('address, master, up, in one message', async () => {
    const vif = await domnet.plug({ domid: 20 });
    await vif.connected();
    expect(await linkOf(vif)).toMatchObject({ address: 'fe:ff:ff:ff:ff:ff', master: 'xenbr0', mtu: 1500 });
    expect((await linkOf(vif)).flags).toContain('UP');
  });

  test('an address that is not the one for backends is replaced, up or down', async () => {
    for (const [domid, state] of [
      [21, 'down'],
      [22, 'up'],
    ] as const) {
      const vif = await domnet.writeDevice({ domid, keys: { bridge: 'later' } });
      await vif.addNetdev();
      await vif.status('error');
      await domnet.ip(`link set ${vif.name} address 00:16:3e:ff:00:01`);
      await domnet.ip(`link set ${vif.name} ${state}`);
      await vif.write({ bridge: 'xenbr0' });
      await vif.connected();
      expect(await linkOf(vif)).toMatchObject({ address: 'fe:ff:ff:ff:ff:ff', master: 'xenbr0' });
    }
  });

  test('addresses are flushed, also those that come later', async () => {
    const vif = await domnet.writeDevice({ domid: 23, keys: { bridge: 'later' } });
    await vif.addNetdev();
    await domnet.ip(`address add 192.0.2.1/24 dev ${vif.name}`);
    await domnet.ip(`address add 192.0.2.2/24 dev ${vif.name}`);
    await domnet.ip(`address add 2001:db8::1/64 dev ${vif.name} nodad`);
    await vif.write({ bridge: 'xenbr0' });
    await vif.connected();
    const addresses = async () => (await linkOf(vif)).addr_info.filter(({ scope }) => scope !== 'link');
    expect(await addresses()).toEqual([]);

    await domnet.ip(`address add 198.51.100.1/24 dev ${vif.name}`);
    await until('the address to be flushed', async () => (await addresses()).length === 0);
  });

  test('the MTU is the key’s, and the frontend is told', async () => {
    const vif = await domnet.writeDevice({ domid: 24, keys: { mtu: '1280' } });
    await domnet.xenstore.write(`${vif.frontend}/mtu`, '1500');
    await vif.addNetdev();
    await vif.connected();
    expect((await linkOf(vif)).mtu).toBe(1280);
    await until(
      'the frontend’s mtu',
      async () => (await domnet.xenstore.read(`${vif.frontend}/mtu`)).toString() === '1280',
    );
  });

  test('without the key the MTU is the bridge’s, and the frontend is told', async () => {
    await domnet.addBridge('jumbo', 'mtu 9000');
    const vif = await domnet.plug({ domid: 25, keys: { bridge: 'jumbo' } });
    await vif.connected();
    expect((await linkOf(vif)).mtu).toBe(9000);
    await until(
      'the frontend’s mtu',
      async () => (await domnet.xenstore.read(`${vif.frontend}/mtu`)).toString() === '9000',
    );
    expect((await domnet.link('jumbo'))?.mtu).toBe(9000);
  });

  test('a port with a small MTU does not pull the others down', async () => {
    await domnet.addBridge('mixed', 'mtu 4000');
    const large = await domnet.plug({ domid: 26, keys: { bridge: 'mixed' } });
    await large.connected();
    const small = await domnet.plug({ domid: 27, keys: { bridge: 'mixed', mtu: '1300' } });
    await small.connected();
    expect((await domnet.link('mixed'))?.mtu).toBe(4000);
    expect((await linkOf(large)).mtu).toBe(4000);
    expect((await linkOf(small)).mtu).toBe(1300);
  });

  test('a vifname is given, and the vif’s own name kept as alias', async () => {
    const vif = await domnet.plug({ domid: 28, keys: { vifname: 'web0' } });
    await vif.connected();
    expect(await linkOf(vif, 'web0')).toMatchObject({ ifalias: vif.name, master: 'xenbr0' });
    expect(await domnet.link(vif.name)).toBeUndefined();
    await vif.unplug();
  });

  test('a vifname written later renames the running interface', async () => {
    const vif = await domnet.plug({ domid: 29 });
    await vif.connected();
    const { ifindex } = await linkOf(vif);
    await vif.write({ vifname: 'web1' });
    expect((await attachedTo(vif, 'xenbr0', 'web1')).ifindex).toBe(ifindex);
    expect(await vif.read('hotplug-status')).toBe('connected');
  });

  test('an empty bridge means the first one', async () => {
    const vif = await domnet.plug({ domid: 30, keys: { bridge: '' } });
    await vif.connected();
    await attachedTo(vif, 'xenbr0');
  });

  test('a missing xenbrX means ethX, where that is a bridge', async () => {
    await domnet.addBridge('eth3');
    const vif = await domnet.plug({ domid: 31, keys: { bridge: 'xenbr3' } });
    await vif.connected();
    await attachedTo(vif, 'eth3');
  });

  test('a bridge key that changes moves the port', async () => {
    await domnet.addBridge('other');
    const vif = await domnet.plug({ domid: 32 });
    await vif.connected();
    await vif.write({ bridge: 'other' });
    await attachedTo(vif, 'other');
  });

  test('a vif of an HVM guest is a vif', async () => {
    const vif = await domnet.plug({ domid: 33, keys: { type: 'vif_ioemu' } });
    await vif.connected();
  });
});
