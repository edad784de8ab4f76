import { expect, test } from 'vitest';
import { ChangedMeanwhile } from '../../../src/model/operation-error.js';
import { DriverDomain } from '../../fake/driver-domain.js';

// What the machine is by the time that a plan is performed is not always what it was planned for.

const id = { domid: 5, devid: 0 };
const router = {
  links: [{ name: 'eth0', up: true, mac: '02:00:00:00:00:01', addresses: ['192.0.2.1/24'] }],
  ip: { routes: [{ to: '0.0.0.0/0', dev: 'eth0' }] },
};
const routeKeys = { script: '/etc/xen/scripts/vif-route', bridge: '', ip: '192.0.2.5' };

test('a transaction that was planned for other tables is planned again at once, and is no failure', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('nft', new ChangedMeanwhile('netdev vifd'), 1);
  await domain.birth(id, { ip: '10.0.0.5' });
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  // Never up without its filter.
  expect(domain.host.performed.slice(0, 3).map(({ kind }) => kind)).toEqual(['nft', 'nft', 'set-link']);
  expect(domain.host.machine.nft.chains('vif5.0')).toHaveLength(1);
});

test('tables that change each time end in a failure of the vif, which is off the network meanwhile', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const heal = domain.host.fail('nft', new ChangedMeanwhile('netdev vifd'));
  await domain.birth(id, { ip: '10.0.0.5' });
  expect(domain.told(id)).toMatchObject({
    status: 'error',
    error: expect.stringMatching(/^attach vif5\.0: still to do afterwards: nft /),
  });
  expect(domain.host.link('vif5.0')?.up).toBe(false);
  expect(domain.host.performed).toHaveLength(4);
  heal();
  await domain.pass(500);
  expect(domain.told(id).status).toBe('connected');
});

test('a table that came into use while a vif is taken off is planned for again, and is no failure', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { ip: '10.0.0.5' });
  domain.host.fail('nft', new ChangedMeanwhile('netdev vifd'), 1);
  domain.backend.set(id, { bridge: 'xenbr9' });
  await domain.settle();
  expect(domain.host.machine.nft.tables.size).toBe(0);
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.told(id).error).toMatch(/^attach vif5\.0 to bridge xenbr9: no such bridge/);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed']);
});

test('a withdrawal whose tables change each time is told as such, and not as what changed', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { ip: '10.0.0.5' });
  const heal = domain.host.fail('nft', new ChangedMeanwhile('netdev vifd'));
  domain.backend.set(id, { bridge: 'xenbr9' });
  await domain.settle();
  expect(domain.told(id).error).toMatch(/^attach vif5\.0: still to do afterwards: nft /);
  expect(domain.host.link('vif5.0')?.up).toBe(false);
  heal();
  await domain.pass(500);
  expect(domain.told(id).error).toMatch(/^attach vif5\.0 to bridge xenbr9: no such bridge/);
});

test('an action whose object goes meanwhile has failed for nothing: the vif goes on, and no failure is told', async () => {
  const domain = new DriverDomain(router);
  await domain.start();
  await domain.birth(id, routeKeys);
  expect(domain.told(id).status).toBe('connected');
  const proxy = domain.host.hold('set-proxy');
  domain.backend.set(id, { ip: '192.0.2.5 192.0.2.6' });
  await proxy.reached;
  // The gateway device goes: the vif stays with the address that it has, and nothing is to be answered for there.
  domain.host.remove('eth0');
  proxy.release(new Error('No such device'));
  await domain.settle();
  expect(domain.events.of('vif5.0')).not.toContain('failed');
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  const { index = 0 } = domain.host.link('vif5.0') ?? {};
  expect(domain.host.machine.ip.routes.onDevice(index).map(({ to }) => to.address)).toEqual([
    '192.0.2.5',
    '192.0.2.6',
  ]);
});

test('an error of the daemon’s own while a vif is reported on is logged, and the vif is reconciled with the next resync', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const { tell } = domain.events;
  domain.events.tell = () => {
    throw new TypeError('events is not iterable');
  };
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  const told = domain.journal.filter(({ msg }) => msg === 'vif not reconciled');
  expect(told.map(({ vif, level }) => [vif, level])).toContainEqual(['vif5.0', 50]);
  expect(told[0]).toMatchObject({ domid: 5, devid: 0, err: { message: 'events is not iterable' } });
  // Each is on the network all the same.
  expect(domain.host.link('vif6.0')?.up).toBe(true);
  domain.events.tell = tell;
  await domain.pass(60_000);
  expect(await domain.status(id)).toMatchObject({ state: 'attached', error: null });
  expect(domain.losses).toEqual([]);
});
