import { expect, test } from 'vitest';
import type { HookEvent } from '../../../src/reconcile/ports/ports.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };

/** The event that an earlier daemon called hooks with last. */
const earlier = (mac: string | null): HookEvent => ({
  event: 'attach',
  vif: 'vif5.0',
  ...id,
  mac,
  ip: [],
  bridge: 'xenbr0',
  topology: 'bridge',
  netdev: 'vif5.0',
  mtu: 1500,
});

/** A domain whose hooks know an event from before. */
async function after(event: HookEvent): Promise<DriverDomain> {
  const domain = new DriverDomain();
  domain.hooks.lastEvents.set('vif5.0', event);
  domain.host.add({ name: 'vif5.0' });
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.start();
  return domain;
}

test('a guest that has the number of one that went while no daemon ran: hooks hear of the end of that, then of this one', async () => {
  const domain = await after(earlier('00:16:3e:00:00:99'));
  expect(domain.hooks.calls.map(({ event, mac }) => [event, mac])).toEqual([
    ['detach', '00:16:3e:00:00:99'],
    ['attach', '00:16:3e:00:00:05'],
  ]);
});

test('the same guest is no new one: hooks hear only of what differs', async () => {
  expect((await after(earlier('00:16:3e:00:00:05'))).hooks.calls).toEqual([]);
  const domain = await after({ ...earlier('00:16:3e:00:00:05'), mtu: 1400 });
  expect(domain.hooks.calls.map(({ event, mtu }) => [event, mtu])).toEqual([['update', 1500]]);
});

test('each change of an attached vif is told to hooks once', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.backend.set(id, { ip: '10.0.0.5' });
  await domain.settle();
  domain.backend.set(id, { state: '4' });
  await domain.settle();
  expect(domain.hooks.calls.map(({ event, ip }) => [event, ip])).toEqual([
    ['attach', []],
    ['update', ['10.0.0.5']],
  ]);
});

test('a guest without a mac key is the same one as long as it has none', async () => {
  const domain = new DriverDomain();
  domain.hooks.lastEvents.set('vif5.0', { ...earlier(null), mtu: 1400 });
  domain.host.add({ name: 'vif5.0' });
  domain.backend.create(id, { bridge: 'xenbr0', mac: '' });
  await domain.start();
  expect(domain.hooks.calls.map(({ event, mac, mtu }) => [event, mac, mtu])).toEqual([
    ['update', null, 1500],
  ]);
  expect((await domain.status(id))?.mac).toBeNull();
});
