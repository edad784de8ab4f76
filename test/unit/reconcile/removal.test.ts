import { expect, test } from 'vitest';
import type { HookEvent } from '../../../src/reconcile/ports/ports.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };

/** A domain with a vif attached. */
async function attached(): Promise<DriverDomain> {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.pass(1000);
  return domain;
}

test('dom0 takes a vif away: hands off while netback closes, then off the host, and its directory goes', async () => {
  const domain = await attached();
  const before = domain.host.performed.length;
  domain.backend.set(id, { online: '0', state: '5' });
  await domain.settle();
  expect((await domain.status(id))?.state).toBe('closing');
  expect(domain.host.performed).toHaveLength(before);
  domain.backend.set(id, { state: '6' });
  await domain.settle();
  expect(domain.host.commands.slice(before)).toEqual([
    'ip link set dev vif5.0 nomaster down',
    "nft 'delete table netdev vifd'",
  ]);
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
  expect(await domain.status(id)).toBeUndefined();
  // vifd's own deletion causes an event, after which nothing is left to do.
  expect(await domain.reconciliationsDuring(() => domain.pass(40_000))).toBe(0);
});

test('a netdev that goes during the removal is no failure', async () => {
  const domain = await attached();
  const down = domain.host.hold('set-link');
  domain.backend.set(id, { online: '0', state: '6' });
  await down.reached;
  domain.host.remove('vif5.0');
  down.release();
  await domain.settle();
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed']);
});

test('a directory that dom0 deletes by itself takes the vif off', async () => {
  const domain = await attached();
  domain.backend.delete(id);
  await domain.settle();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
});

test('a number that is in use again while its directory is being deleted is attached anew', async () => {
  const domain = await attached();
  const remove = domain.backend.hold('remove');
  domain.backend.set(id, { online: '0', state: '6' });
  await remove.reached;
  domain.host.remove('vif5.0');
  domain.backend.delete(id);
  domain.backend.create(id, { bridge: 'xenbr0', mac: '00:16:3e:00:00:06' });
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  remove.release();
  await domain.settle();
  // The removal of the old vif must not delete the new one's directory.
  expect(domain.told(id).status).toBe('connected');
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed', 'attached']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach', 'attach']);
  expect((await domain.status(id))?.mac).toBe('00:16:3e:00:00:06');
});

test('a number in use again of which the events come later is attached anew', async () => {
  const domain = await attached();
  const remove = domain.backend.hold('remove', 'answer');
  domain.backend.set(id, { online: '0', state: '6' });
  await remove.reached;
  remove.release();
  domain.host.remove('vif5.0');
  domain.backend.create(id, { bridge: 'xenbr0' });
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  expect(domain.told(id).status).toBe('connected');
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed', 'attached']);
});

test('a vif that dom0 takes away while it is attached: attached or not, it goes', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.backend.set(id, { online: '0', state: '6' });
  await born;
  up.release();
  await domain.settle();
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.events.of('vif5.0').at(-1)).toBe('removed');
});

test('what cannot be taken off the host is tried again, and the directory is kept until it is', async () => {
  const domain = await attached();
  const heal = domain.host.fail('set-link', 'Device or resource busy');
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.settle();
  expect(domain.backend.keys(id)).toBeDefined();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed']);
  heal();
  await domain.pass(500);
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed', 'removed']);
});

test('a directory that cannot be deleted is tried again', async () => {
  const domain = await attached();
  domain.backend.fail('remove', new Error('EBUSY'), { times: 1 });
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed']);
  await domain.pass(500);
  expect(domain.backend.keys(id)).toBeUndefined();
});

test('a vif that went while no daemon ran is taken off the host, without a word', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge', up: true },
      { name: 'vif5.0', master: 'xenbr0', up: true },
    ],
  });
  await domain.start();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.events.all).toEqual([]);
  expect(domain.hooks.calls).toEqual([]);
});

test('a directory that was left to delete while no daemon ran is deleted, and told', async () => {
  const domain = new DriverDomain();
  domain.backend.create(id, { online: '0', state: '6' });
  await domain.start();
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).toEqual(['removed']);
});

test('a vif of which hooks alone know went while no daemon ran: detached at the start, and others are not', async () => {
  const domain = new DriverDomain();
  const event: HookEvent = {
    event: 'attach',
    vif: 'vif9.0',
    domid: 9,
    devid: 0,
    mac: '00:16:3e:00:00:09',
    ip: [],
    bridge: 'xenbr0',
    topology: 'bridge',
    netdev: 'vif9.0',
    mtu: 1500,
  };
  domain.hooks.lastEvents.set('vif9.0', event);
  await domain.birth(id);
  await domain.start();
  expect(domain.hooks.of('vif9.0')).toEqual(['detach']);
  expect(domain.hooks.calls).toContainEqual({ ...event, event: 'detach' });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
  expect(domain.losses).toEqual([]);
});
