import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd, type VifSpec } from '../../support/net/domnet.js';
import { connectUplink } from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { FrameListener, OpenVswitch, sendFrame } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let ovs: OpenVswitch;
let daemon: Vifd;
let listeners: FrameListener[] = [];
let domid = 10;

beforeAll(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet);
  ovs = new OpenVswitch(domnet);
  await ovs.start();
  await ovs.addBridge('ovsbr0');
  daemon = await domnet.vifd({ config: ovs.config });
});

afterEach(() => {
  for (const listener of listeners) listener.stop();
  listeners = [];
});

afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

const plug = (keys: VifSpec['keys']): Promise<Vif> =>
  domnet.plug({
    domid: domid++,
    keys: { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0', ...keys },
  });

async function connected(keys: VifSpec['keys']): Promise<Vif> {
  const vif = await plug(keys);
  await vif.connected();
  return vif;
}

async function listenIn(vif: Vif): Promise<FrameListener> {
  const listener = await FrameListener.in(vif);
  listeners.push(listener);
  return listener;
}

const portIs = (vif: Vif, column: string, value: string): Promise<unknown> =>
  until(`${column} ${value} of ${vif.name}`, async () => {
    const now = await ovs.get('port', vif.name, column).catch(() => undefined);
    return now === value;
  });

describe('the vlan key', () => {
  test('is an access port, and a trunk with a PVID, as on a Linux bridge', async () => {
    const [one, two, other, trunk, all] = await Promise.all([
      connected({ vlan: '10' }),
      connected({ vlan: '10p' }),
      connected({ vlan: '20' }),
      connected({ vlan: '10p/20-21' }),
      connected({}),
    ]);
    const [atTwo, atOther, atTrunk, atAll] = await Promise.all([two, other, trunk, all].map(listenIn));
    await atTwo?.receives('- ten', () => sendFrame(one, '-', 'ten'));
    await atTrunk?.receives('- ten', () => sendFrame(one, '-', 'ten'));
    await atAll?.receives('10 ten', () => sendFrame(one, '-', 'ten'));
    await atOther?.receives('- twenty', () => sendFrame(trunk, 20, 'twenty'));
    await atTwo?.receives('- native', () => sendFrame(trunk, '-', 'native'));
    // What was sent before the last frame would have come before it.
    await atAll?.receives('21 last', async () => {
      await sendFrame(trunk, 30, 'forbidden');
      await sendFrame(trunk, 21, 'last');
    });
    expect(atOther?.arrived).not.toContain('- ten');
    expect(atTwo?.arrived).not.toContain('- twenty');
    expect(atAll?.arrived.filter((line) => line.endsWith('forbidden'))).toEqual([]);
  });

  test('changes and goes in place, and the guests beside are not touched', async () => {
    const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
    const vif = await connected({ vlan: '10' });
    const row = await ovs.get('port', vif.name, '_uuid');
    await vif.write({ vlan: '10p/20' });
    await portIs(vif, 'trunks', '[20]');
    expect(await ovs.get('port', vif.name, 'vlan_mode')).toBe('native-untagged');
    await domnet.xenstore.rm(`${vif.backend}/vlan`);
    await portIs(vif, 'tag', '[]');
    await portIs(vif, 'trunks', '[]');
    expect(await ovs.get('port', vif.name, '_uuid')).toBe(row);
    await beside.untouched();
  });

  test.each([
    [{ vlan: '10', bridge: 'ovsbr0.10' }, /ovsbr0\.10: it names VLANs, and the vlan key does so too/],
    [{ vlan: '10', bridge: 'ovsbr0:10:20' }, /ovsbr0:10:20: it names VLANs, and the vlan key does so too/],
    [{ vlan: '10p/20u' }, /ovsbr0: VLAN 20 is to leave without a tag/],
    [{ vlan: '10/20' }, /one of several VLANs must be the PVID/],
    [{ vlan: '10', script: '/etc/xen/scripts/vif-route', ip: '192.0.2.9' }, /\/vlan: a vif with vif-route/],
    [{ vlan: '10', script: '/etc/xen/scripts/vif-nat' }, /\/vlan: a vif with vif-nat/],
  ])('%j is refused, and goes on no network', async (keys, reason) => {
    const vif = await plug(keys);
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toMatch(reason);
    expect(await ovs.bridgeOf(vif.name)).toBeUndefined();
    expect((await domnet.link(vif.name))?.flags).not.toContain('UP');
    await domnet.xenstore.rm(`${vif.backend}/vlan`);
    await vif.connected();
  });

  test('is refused on a fake bridge, which is a VLAN itself', async () => {
    await ovs.vsctl('add-br vlan30 ovsbr0 30');
    const vif = await plug({ vlan: '10', bridge: 'vlan30' });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toContain('the bridge is VLAN 30 of ovsbr0');
    await vif.unplug();
    await ovs.vsctl('del-br vlan30');
  });
});

describe('a port for which dom0 asks no VLAN', () => {
  test('keeps those that an operator or a controller gives it, through looks and restarts', async () => {
    const [vif, ten, all] = await Promise.all([connected({}), connected({ vlan: '10' }), connected({})]);
    await ovs.vsctl(
      `set port ${vif.name} tag=10 trunks=20 vlan_mode=native-untagged other_config:priority-tags=always`,
    );
    // A change that vifd puts right, after which it has looked at the vif.
    await domnet.ip(`link set ${vif.name} down`);
    await until('the repair', async () => (await domnet.link(vif.name))?.flags.includes('UP'));
    await daemon.terminate();
    daemon = await domnet.vifd({ config: ovs.config });
    await daemon.logged('vif adopted', vif.name);
    const columns = ['tag', 'trunks', 'vlan_mode', 'other_config'].map((column) =>
      ovs.get('port', vif.name, column),
    );
    expect(await Promise.all(columns)).toEqual(['10', '[20]', 'native-untagged', '{priority-tags=always}']);
    const [atTen, atAll] = await Promise.all([ten, all].map(listenIn));
    await atTen?.receives('- ours', () => sendFrame(vif, '-', 'ours'));
    await atAll?.receives('20 tagged', () => sendFrame(vif, 20, 'tagged'));
    expect(await ovs.get('port', all.name, 'tag')).toBe('[]');
  });

  test('has those of dom0 once it asks, and is freed of them when it does no longer', async () => {
    const vif = await connected({});
    await ovs.vsctl(`set port ${vif.name} tag=99`);
    await vif.write({ bridge: 'ovsbr0.10' });
    await portIs(vif, 'tag', '10');
    await ovs.vsctl(`set port ${vif.name} tag=99`);
    await portIs(vif, 'tag', '10');
    await vif.write({ bridge: 'ovsbr0' });
    await portIs(vif, 'tag', '[]');
    await portIs(vif, 'external_ids:vifd', vif.name);
    await ovs.vsctl(`set port ${vif.name} tag=99`);
    await domnet.ip(`link set ${vif.name} down`);
    await until('the repair', async () => (await domnet.link(vif.name))?.flags.includes('UP'));
    expect(await ovs.get('port', vif.name, 'tag')).toBe('99');
  });
});
