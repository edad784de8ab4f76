import { beforeEach, describe, expect, test } from 'vitest';
import { configOf, DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const [routed, bridged] = [
  { domid: 6, devid: 0 },
  { domid: 7, devid: 0 },
];
const natKeys = { script: '/etc/xen/scripts/vif-nat', bridge: '' };
const config = '[nat]\nguest_keys = true\n';
const minute = 60_000;

let domain: DriverDomain;

const open = (config: string): DriverDomain =>
  new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge', up: true },
      { index: 2, name: 'eth0', up: true, addresses: ['192.0.2.1/24'] },
    ],
    ip: { routes: [{ to: '0.0.0.0/0', dev: 'eth0' }], resolvers: ['192.0.2.53'] },
    config,
  });

const found = (): string[] => [...domain.backend.guestKeys.keys()].sort();
const ofFive = { ip: '10.0.5.1/16', gateway: '10.0.5.128', resolver: '192.0.2.53' };

async function births(): Promise<void> {
  await domain.start();
  await domain.birth(routed, { script: 'vif-route', bridge: '', ip: '198.51.100.6' });
  await domain.birth(bridged);
  await domain.birth(id, natKeys);
}

describe('what guests find in xenstore', () => {
  beforeEach(async () => {
    domain = open(config);
    await births();
  });

  test('is that of vifs behind NAT alone, follows their keys, and goes with each', async () => {
    expect(found()).toEqual(['vif5.0']);
    expect(domain.backend.guestKeys.get('vif5.0')).toEqual(ofFive);
    domain.backend.set(id, { ip: '10.9.0.5' });
    await domain.settle();
    expect(domain.backend.guestKeys.get('vif5.0')).toMatchObject({
      ip: '10.9.0.5/24',
      gateway: '10.9.0.132',
    });
    await domain.birth({ domid: 5, devid: 1 }, natKeys);
    expect(found()).toEqual(['vif5.0', 'vif5.1']);
    domain.backend.delete(id);
    await domain.settle();
    expect(found()).toEqual(['vif5.1']);
    // One that is refused is told nothing.
    domain.backend.set({ domid: 5, devid: 1 }, { mac: 'nonsense' });
    await domain.settle();
    expect(found()).toEqual([]);
  });

  test('is compared no more than once a minute, and put back', async () => {
    domain.backend.guestKeys.clear();
    const before = domain.backend.requests;
    for (const mtu of [1400, 1500]) domain.host.change('eth0', { mtu });
    await domain.settle();
    expect(domain.backend.requests).toBe(before);
    await domain.pass(minute);
    expect(domain.backend.guestKeys.get('vif5.0')).toEqual(ofFive);
    await domain.pass(10 * minute);
    expect(domain.backend.requests - before).toBeLessThanOrEqual(16);
    expect(domain.events.of('vif5.0')).toEqual(['attached']);
  });

  test('goes when it is switched off, with a request for each that has some', async () => {
    const before = domain.backend.requests;
    await domain.reconciler.reconfigure(configOf(''));
    expect(found()).toEqual([]);
    const listing = domain.backend.requests - before;
    await domain.reconciler.reconfigure(configOf(''));
    expect(domain.backend.requests - before - listing).toBe(listing - 1);
  });

  test('of a vif that goes without this daemon having told anything is removed', async () => {
    const { backend, host } = domain;
    const next = new DriverDomain({ backend, config });
    domain = next;
    expect(host.link('vif5.0')).toBeDefined();
    backend.set(id, { online: '0', state: '6' });
    await next.start();
    expect(backend.keys(id)).toBeUndefined();
    expect(found()).toEqual([]);
  });
});

test('where dom0 has made no directory the vif works, which is said once; it is tried again, less and less often', async () => {
  domain = open(config);
  domain.backend.guestsMayRead = false;
  await births();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(await domain.status(id)).toMatchObject({
    state: 'attached',
    problems: [{ code: 'guest-keys-refused', kind: 'xenstore' }],
  });
  const before = domain.backend.requests;
  await domain.pass(10 * minute);
  expect(domain.backend.requests - before).toBeLessThan(20);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded']);
  expect([routed, bridged].map(({ domid }) => domain.events.of(`vif${domid}.0`))).toEqual([
    ['attached'],
    ['attached'],
  ]);
  domain.backend.guestsMayRead = true;
  await domain.pass(minute);
  expect(domain.backend.guestKeys.get('vif5.0')).toEqual(ofFive);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded', 'recovered']);
});

test('nothing is asked for or written while it is off', async () => {
  domain = open('');
  domain.backend.fail('tellGuest', new Error('asked for'));
  await births();
  await domain.pass(2 * minute);
  domain.backend.delete(id);
  await domain.settle();
  expect(domain.journal.filter(({ level }) => level >= 40)).toEqual([]);
  expect(found()).toEqual([]);
});

test('a xenstored that goes away meanwhile is reported as lost', async () => {
  domain = open(config);
  domain.backend.lose('tellGuest');
  await births();
  expect(domain.losses).not.toEqual([]);
});
