import { expect, test } from 'vitest';
import { Refused } from '../../fake/backend.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };

test.each(['read', 'report'] as const)(
  'xenstore that is lost in a %s is told, and nothing becomes of the vif',
  async (operation) => {
    const domain = new DriverDomain();
    await domain.start();
    domain.backend.lose(operation);
    await domain.birth(id);
    expect(domain.losses).toHaveLength(1);
    expect(domain.events.all).toEqual([]);
    expect(domain.hooks.calls).toEqual([]);
    // A new connection has a reconciler of its own; this one would read the vif again.
    domain.backend.set(id, { state: '2' });
    await domain.settle();
    expect(domain.told(id).status).toBe('connected');
  },
);

test('xenstore that is lost in a removal is told, and the vif is not told to be removed', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.backend.lose('remove');
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.settle();
  expect(domain.losses).toHaveLength(1);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('xenstore that is lost while vifs are listed is told, and not asked again', async () => {
  const domain = new DriverDomain();
  domain.backend.lose('list');
  await domain.start();
  expect(domain.losses).toHaveLength(1);
  const { requests } = domain.backend;
  await domain.pass(10_000);
  expect(domain.backend.requests).toBe(requests);
});

test('a list that fails is tried again each second until it succeeds', async () => {
  const domain = new DriverDomain({ links: [{ name: 'xenbr0', kind: 'bridge' }, { name: 'vif5.0' }] });
  domain.backend.listener = () => undefined;
  domain.backend.create(id, { bridge: 'xenbr0' });
  domain.backend.fail('list', new Refused('EAGAIN'), { times: 3 });
  await domain.start();
  await domain.pass(2999);
  expect(domain.journal.filter(({ msg }) => msg === 'vifs not listed')).toHaveLength(3);
  expect(domain.told(id).status).toBe('');
  await domain.pass(1);
  expect(domain.told(id).status).toBe('connected');
});

test('a read that is refused is tried again, and told as xenstore’s', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.fail('read', new Refused('read backend/vif/5/0: EACCES'), { id, times: 2 });
  await domain.birth(id);
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', errorKind: 'xenstore' });
  await domain.pass(1500);
  expect(domain.told(id).status).toBe('connected');
});

test('what is written during a read is read too', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge' },
      { name: 'xenbr1', kind: 'bridge' },
    ],
  });
  await domain.start();
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  const read = domain.backend.hold('read', 'answer');
  domain.backend.create(id, { bridge: 'xenbr0' });
  await read.reached;
  domain.backend.set(id, { bridge: 'xenbr1' });
  await domain.settle();
  read.release();
  await domain.settle();
  expect(domain.host.link('vif5.0')?.master).toBe(domain.host.link('xenbr1')?.index);
  expect(domain.told(id).status).toBe('connected');
});

test('a directory that goes while a status is written: the vif is taken off, and no directory is made', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const report = domain.backend.hold('report');
  const born = domain.birth(id);
  await report.reached;
  domain.backend.delete(id);
  await born;
  report.release();
  await domain.settle();
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).not.toContain('attached');
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(await domain.status(id)).toBeUndefined();
});

test('a directory that goes while a failure is written is no failure', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const report = domain.backend.hold('report');
  const born = domain.birth(id, { bridge: 'xenbr9' });
  await report.reached;
  domain.backend.delete(id);
  await born;
  report.release();
  await domain.settle();
  expect(await domain.status(id)).toBeUndefined();
  expect(await domain.reconciliationsDuring(() => domain.pass(40_000))).toBe(0);
});

test('a status that another program has written over is written again', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.pass(1000);
  domain.backend.set(id, {
    'hotplug-status': 'error',
    'hotplug-error': '/etc/xen/scripts/vif-bridge failed',
  });
  await domain.pass(199);
  expect(domain.told(id).status).toBe('error');
  await domain.pass(1);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  // No event: the vif was attached all the time.
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('a tree that comes or goes has one event, for its topmost node: all of its vifs are reconciled', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  domain.backend.listener = () => undefined;
  domain.backend.delete(id);
  domain.backend.delete({ domid: 6, devid: 0 });
  await domain.settle();
  domain.reconciler.xenstoreChanged('backend/vif/5');
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed']);
  expect(domain.events.of('vif6.0')).toEqual(['attached']);
  domain.reconciler.xenstoreChanged('backend');
  await domain.settle();
  expect(domain.events.of('vif6.0')).toEqual(['attached', 'removed']);
});

test('what was attached stays as it is where xenstore is away', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.pass(1000);
  const before = domain.host.performed.length;
  domain.backend.isAway = true;
  // Changes of the host are still followed, by the keys read last.
  domain.host.change('vif5.0', { up: false });
  await domain.settle();
  expect(domain.host.commands.slice(before)).toEqual(['ip link set dev vif5.0 up']);
  expect(domain.losses).toEqual([]);
});
