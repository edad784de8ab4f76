import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';
import type { PlainIp } from '../../fake/ip-machine.js';
import type { PlainLink } from '../../fake/machine.js';

const id = { domid: 5, devid: 0 };

/** A domain that routes, with state of a vif that has gone. */
const leftOvers = (ip: PlainIp): { links: PlainLink[]; ip: PlainIp; config: string } => ({
  links: [{ name: 'eth0', up: true, mac: '02:00:00:00:00:01', addresses: ['192.0.2.1/24'] }],
  ip: { ...ip, routes: [{ to: '0.0.0.0/0', dev: 'eth0' }, ...(ip.routes ?? [])] },
  config: '[antispoof]\nmode = "off"\n',
});
const proxied = { proxies: [{ address: '192.0.2.5', dev: 'eth0' }] };

test('state with vifd’s mark that belongs to no vif is removed after all vifs were reconciled', async () => {
  const domain = new DriverDomain(leftOvers({ ...proxied, routes: [{ to: '192.0.2.9', dev: 'eth0' }] }));
  await domain.start();
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['delete-route', 'delete-proxy']);
  expect(domain.journal.filter(({ msg }) => msg === 'left-over removed')).toHaveLength(2);
  await domain.pass(300_000);
  expect(domain.host.performed).toHaveLength(2);
});

test('state that a vif takes over meanwhile is no left-over', async () => {
  const domain = new DriverDomain({
    ...leftOvers(proxied),
    links: [...leftOvers({}).links, { name: 'vif5.0' }],
  });
  domain.backend.create(id, { script: '/etc/xen/scripts/vif-route', ip: '192.0.2.5' });
  await domain.start();
  expect(domain.told(id).status).toBe('connected');
  expect(domain.host.performed.map(({ kind }) => kind)).not.toContain('delete-proxy');
  expect(domain.host.machine.ip.routes.proxies()).toMatchObject([{ owner: 'vif5.0' }]);
  await domain.pass(120_000);
  expect(domain.host.machine.ip.routes.proxies()).toHaveLength(1);
});

test('a left-over that comes later goes with a resync', async () => {
  const domain = new DriverDomain(leftOvers({}));
  await domain.start();
  const eth0 = domain.host.link('eth0');
  domain.host.machine.ip.perform({
    kind: 'set-route',
    index: eth0?.index ?? 0,
    name: 'eth0',
    route: { to: { family: 4, address: '192.0.2.9', prefix: 32 }, source: undefined },
  });
  await domain.pass(60_000);
  expect(domain.host.commands).toEqual([expect.stringMatching(/^ip route delete 192\.0\.2\.9/)]);
});

test('a left-over that cannot be removed keeps no other, and is tried again with the next resync', async () => {
  const domain = new DriverDomain(leftOvers({ ...proxied, routes: [{ to: '192.0.2.9', dev: 'eth0' }] }));
  const heal = domain.host.fail('delete-route', 'Operation not permitted');
  await domain.start();
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['delete-route', 'delete-proxy']);
  expect(domain.journal.filter(({ msg }) => msg === 'left-over not removed')).toHaveLength(1);
  heal();
  await domain.pass(60_000);
  expect(domain.host.machine.ip.routes.ours()).toEqual([]);
});

test('a machine that cannot be read again is read at the next resync', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.failCall('refresh', new Error('ENOBUFS'), 1);
  await domain.pass(60_000);
  expect(domain.host.refreshes).toBe(1);
  await domain.pass(60_000);
  expect(domain.host.refreshes).toBe(2);
});

test('a guest that changes its state without an end has its keys read some twenty times a second, and the last is what counts', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  const looks = await domain.reconciliationsDuring(async () => {
    for (let i = 0; i < 300; i++) {
      domain.backend.set(id, { state: i % 2 === 0 ? '5' : '4' });
      await domain.pass(10);
    }
  });
  expect(looks).toBeLessThan(80);
  await domain.birth({ domid: 6, devid: 0 });
  expect(domain.told({ domid: 6, devid: 0 }).status).toBe('connected');
  domain.backend.set(id, { state: '5' });
  await domain.pass(150);
  expect(domain.reconciler.keysOf('vif5.0')?.state).toBe(5);
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.pass(150);
  expect(domain.backend.keys(id)).toBeUndefined();
});

test('a resync reconciles every vif, and reads nothing of xenstore', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  await domain.pass(40_000);
  const { requests } = domain.backend;
  expect(await domain.reconciliationsDuring(() => domain.pass(20_000))).toBe(2);
  expect(domain.backend.requests).toBe(requests);
});

test('what the kernel did not announce is repaired with the next resync', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.host.machine.links = domain.host.machine.links.map((link) =>
    link.name === 'vif5.0' ? { ...link, up: false } : link,
  );
  await domain.pass(60_000);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'repaired']);
});

test('a daemon at rest reconciles only in its resyncs', async () => {
  const domain = new DriverDomain();
  await domain.start();
  for (let domid = 1; domid <= 50; domid++) await domain.birth({ domid, devid: 0 });
  await domain.pass(1000);
  const rounds = domain.host.refreshes;
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(60_000));
  expect(reconciliations).toBe(50 * (domain.host.refreshes - rounds));
  expect(domain.host.performed.filter(({ kind }) => kind === 'set-link')).toHaveLength(50);
});

test('stopping ends the reconciliation under way and starts no more', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  let isStopped = false;
  const stopped = domain.reconciler.stop().then(() => {
    isStopped = true;
  });
  await domain.settle();
  expect(isStopped).toBe(false);
  up.release();
  await stopped;
  await born;
  // The action that was begun is finished.
  expect(domain.told(id).status).toBe('connected');
  const { reconciliations } = domain;
  const done = domain.host.performed.length;
  domain.host.change('vif5.0', { up: false });
  domain.backend.set(id, { bridge: 'xenbr9' });
  await domain.pass(600_000);
  expect(domain.reconciliations).toBe(reconciliations);
  expect(domain.host.performed).toHaveLength(done);
  expect(domain.host.refreshes).toBe(0);
});

test('after a stop a try that fails is not made again, and nothing waits', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.pass(1000);
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  const stopped = domain.reconciler.stop();
  up.release(new Error('Device or resource busy'));
  await stopped;
  await born;
  const { reconciliations } = domain;
  // The events of its keys are over by then.
  await domain.pass(200);
  expect(domain.clock.timers).toBe(0);
  await domain.pass(600_000);
  expect(domain.reconciliations).toBe(reconciliations);
});

test('a stop during the first reconciliation changes nothing more on the machine', async () => {
  const domain = new DriverDomain(leftOvers(proxied));
  const list = domain.backend.hold('list');
  const swept = domain.reconciler.reconcileAll();
  await list.reached;
  const stopped = domain.reconciler.stop();
  list.release();
  await stopped;
  await swept;
  await domain.settle();
  expect(domain.host.performed).toEqual([]);
});

test('a stop during a resync changes nothing more on the machine', async () => {
  const domain = new DriverDomain(leftOvers({}));
  await domain.start();
  const refresh = domain.host.holdCall('refresh');
  const passed = domain.pass(60_000);
  await refresh.reached;
  await passed;
  const stopped = domain.reconciler.stop();
  domain.host.machine.ip.perform({
    kind: 'set-route',
    index: domain.host.link('eth0')?.index ?? 0,
    name: 'eth0',
    route: { to: { family: 4, address: '192.0.2.9', prefix: 32 }, source: undefined },
  });
  refresh.release();
  await stopped;
  await domain.pass(600_000);
  expect(domain.host.performed).toEqual([]);
  expect(domain.host.refreshes).toBe(1);
});

test('the status is in order of the numbers, with what the netdev counted and what was dropped', async () => {
  const domain = new DriverDomain();
  await domain.start();
  for (const [domid, devid] of [
    [10, 0],
    [5, 1],
    [5, 0],
  ] as const)
    await domain.birth({ domid, devid }, { ip: `10.0.${domid}.${devid}` });
  domain.host.dropped.set('vif5.1', { 'source address': 3 });
  const status = await domain.reconciler.status();
  expect(status.map(({ vif }) => vif)).toEqual(['vif5.0', 'vif5.1', 'vif10.0']);
  expect(status[1]).toMatchObject({
    state: 'attached',
    topology: 'bridge',
    bridge: 'xenbr0',
    netdev: 'vif5.1',
    ip: ['10.0.5.1'],
    drops: { 'source address': 3 },
    traffic: { rxBytes: 1 },
  });
  expect(status[0]?.drops).toEqual({});
  const before = domain.host.counted;
  expect(await domain.reconciler.statusOf('vif5.1')).toEqual(status[1]);
  expect(domain.host.counted - before).toBe(2);
  expect(domain.reconciler.phases()).toEqual(['attached', 'attached', 'attached']);
  expect((await domain.reconciler.drops()).get('vif5.1')).toEqual({ 'source address': 3 });
  domain.host.remove('vif5.0');
  await domain.settle();
  expect(await domain.status({ domid: 5, devid: 0 })).toMatchObject({
    netdev: null,
    traffic: null,
    ifindex: null,
  });
});

test('the addresses that a topology chose are in the status of a vif that has no ip key', async () => {
  const domain = new DriverDomain(leftOvers({}));
  await domain.start();
  await domain.birth(id, { script: '/etc/xen/scripts/vif-nat', bridge: '' });
  expect((await domain.status(id))?.ip).toEqual(['10.0.5.1']);
});

test('what netdevs have counted is had of the vifs that have one', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  domain.host.remove('vif6.0');
  await domain.settle();
  expect([...domain.reconciler.traffic().keys()]).toEqual(['vif5.0']);
  expect(domain.reconciler.traffic().get('vif5.0')).toMatchObject({ rxPackets: 1 });
});

test('the status has the time of day since when a vif is in its state', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.pass(5000);
  await domain.birth(id);
  await domain.pass(120_000);
  const since = async () => (await domain.status(id))?.since;
  expect(await since()).toBe('2026-01-01T00:00:05.000Z');
  domain.backend.set(id, { bridge: 'xenbr9' });
  await domain.settle();
  expect(await since()).toBe('2026-01-01T00:02:05.000Z');
});

test('a vif of which nothing is left but its elements in nf_tables is taken off the machine at the start', async () => {
  const elements = [{ set: 'macs' as const, key: ['vif5.0', '00:16:3e:00:00:05'], owner: 'vif5.0' }];
  const domain = new DriverDomain({ ip: { elements } });
  await domain.start();
  expect(domain.host.machine.nft.owners()).toEqual([]);
  expect(domain.host.machine.nft.tables.size).toBe(0);
  expect(domain.reconciler.phases()).toEqual([]);
});

test('what bears the name of no vif concerns none', async () => {
  const domain = new DriverDomain();
  domain.hooks.lastEvents.set('eth0', {
    event: 'attach',
    vif: 'eth0',
    ...id,
    mac: null,
    ip: [],
    bridge: null,
    topology: 'bridge',
    netdev: 'eth0',
    mtu: null,
  });
  await domain.start();
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  domain.reconciler.hostChanged([], ['eth0', 'vif5.0']);
  expect(await domain.reconciliationsDuring(() => domain.settle())).toBe(1);
  expect((await domain.reconciler.statusOf('vif6.0'))?.vif).toBe('vif6.0');
  expect(await domain.reconciler.statusOf('eth0')).toBeUndefined();
  expect(domain.hooks.of('eth0')).toEqual([]);
});
