import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const keys = { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0' };
const bridges = [{ name: 'ovsbr0' }];

test('a port that ovs-vswitchd takes late is waited for, and reported when its time is over', async () => {
  const domain = new DriverDomain({ links: [], openvswitch: { state: 'known', takes: false, bridges } });
  await domain.start();
  await domain.birth(id, keys);
  expect((await domain.status(id))?.state).toBe('waiting');
  await domain.pass(9999);
  expect(domain.events.all).toEqual([]);
  await domain.pass(1);
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', errorKind: 'timeout' });
  expect(domain.told(id).status).toBe('error');
  domain.host.takePorts();
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
});

test('what is taken in time is told with the time from the beginning', async () => {
  const domain = new DriverDomain({ links: [], openvswitch: { state: 'known', takes: false, bridges } });
  await domain.start();
  await domain.birth(id, keys);
  await domain.pass(3000);
  domain.host.takePorts();
  await domain.settle();
  expect(domain.events.all).toMatchObject([{ kind: 'attached', bridge: 'ovsbr0', ms: 3000 }]);
});

test('a port that comes late on a connected vif is missing after its time, and the vif stays', async () => {
  const domain = new DriverDomain({
    links: [{ name: 'vif5.0', up: true }],
    openvswitch: { state: 'known', takes: false, bridges },
  });
  domain.backend.create(id, { ...keys, 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.told(id).status).toBe('connected');
  await domain.pass(9999);
  expect((await domain.status(id))?.missing).toEqual([]);
  await domain.pass(1);
  expect(domain.events.last('vif5.0')).toMatchObject({
    kind: 'degraded',
    missing: [expect.stringMatching(/10 s/)],
  });
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  domain.host.takePorts();
  await domain.settle();
  expect(domain.events.of('vif5.0').slice(-2)).toEqual(['degraded', 'recovered']);
});

test('a port taken before its time is over is never missing', async () => {
  const domain = new DriverDomain({
    links: [{ name: 'vif5.0', up: true }],
    openvswitch: { state: 'known', takes: false, bridges },
  });
  domain.backend.create(id, { ...keys, 'hotplug-status': 'connected' });
  await domain.start();
  await domain.pass(5000);
  domain.host.takePorts();
  await domain.pass(60_000);
  expect(domain.events.of('vif5.0')).not.toContain('degraded');
});

test('a port that is let go again is given its whole time again', async () => {
  const domain = new DriverDomain({ links: [], openvswitch: { state: 'known', bridges } });
  await domain.start();
  await domain.birth(id, keys);
  for (let time = 0; time < 3; time++) {
    domain.host.machine.openvswitch?.dropAll();
    domain.host.changed('vif5.0');
    await domain.pass(6000);
    domain.host.takePorts();
    await domain.settle();
  }
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('a database that goes degrades a connected vif at once, and refuses one that is new', async () => {
  const domain = new DriverDomain({ links: [], openvswitch: { state: 'known', bridges } });
  await domain.start();
  await domain.birth(id, keys);
  domain.host.setDatabase('unreachable');
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded']);
  expect(domain.told(id).status).toBe('connected');
  const other = { domid: 6, devid: 0 };
  await domain.birth(other, keys);
  expect(domain.told(other)).toMatchObject({
    status: 'error',
    error: expect.stringMatching(/not reachable$/),
  });
  domain.host.setDatabase('known');
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded', 'recovered']);
  expect(domain.told(other).status).toBe('connected');
});

test('Open vSwitch is followed from when a vif wants it', async () => {
  const domain = new DriverDomain({ openvswitch: { state: 'known', bridges } });
  await domain.start();
  await domain.birth({ domid: 6, devid: 0 });
  expect([...domain.host.watched]).not.toContain('openvswitch');
  await domain.birth(id, keys);
  expect([...domain.host.watched]).toContain('openvswitch');
});

test.each([
  ['system', true],
  ['netdev', false],
])(
  'with datapath_type=%s a filter for control frames is there: %s, and the database going changes nothing of it',
  async (datapathType, isThere) => {
    const domain = new DriverDomain({
      links: [],
      openvswitch: { state: 'known', bridges: [{ name: 'ovsbr0', datapathType }] },
    });
    await domain.start();
    await domain.birth(id, keys);
    expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
    const held = (): boolean =>
      domain.host
        .observe()
        .nft?.elements('vif5.0')
        .some(({ set }) => set === 'unheld') ?? false;
    expect(held()).toBe(isThere);
    const { length } = domain.host.performed;
    domain.host.setDatabase('unreachable');
    await domain.settle();
    expect((await domain.status(id))?.missing).not.toEqual([]);
    expect(domain.host.performed).toHaveLength(length);
    expect(held()).toBe(isThere);
  },
);
