import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };

test('a netdev that stays away is reported when its time is over, and attached when it comes after all', async () => {
  const domain = new DriverDomain({ config: '[netdev]\ntimeout = 10\n' });
  await domain.start();
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.pass(9999);
  expect(domain.told(id).status).toBe('');
  await domain.pass(1);
  expect(domain.told(id)).toMatchObject({ status: 'error', error: expect.stringMatching(/within 10 s/) });
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', errorKind: 'timeout' });
  // Reported once, however long it takes.
  await domain.pass(300_000);
  expect(domain.events.of('vif5.0')).toEqual(['failed']);
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
});

test('events that come while a netdev is waited for give it no more time', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.create(id, { bridge: 'xenbr0' });
  for (let second = 0; second < 10; second++) {
    await domain.pass(1000);
    domain.backend.set(id, { state: '2' });
  }
  await domain.settle();
  expect(domain.told(id).status).toBe('error');
});

test('a netdev that goes under an attached vif is waited for: nothing is withdrawn, no hook is called', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.host.remove('vif5.0');
  await domain.settle();
  expect(await domain.status(id)).toMatchObject({
    state: 'waiting',
    topology: 'bridge',
    bridge: 'xenbr0',
    netdev: null,
  });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: true, master: domain.host.link('xenbr0')?.index });
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'attached']);
});

test('a netdev that is replaced during a change: the old one fails without a word, the new one is attached', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.host.remove('vif5.0');
  domain.host.add({ name: 'vif5.0' });
  up.release();
  await born;
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.host.link('vif5.0')?.up).toBe(true);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
});

test('a netdev that goes during a change is waited for, and no error is told', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.host.remove('vif5.0');
  up.release();
  await born;
  await domain.settle();
  expect(domain.events.all).toEqual([]);
  expect((await domain.status(id))?.state).toBe('waiting');
});

test('what the kernel announces only after a failure is waited for before the failure is judged', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('set-link', 'No such device', 1);
  const settled = domain.host.holdCall('when-quiet');
  const born = domain.birth(id);
  await settled.reached;
  domain.host.remove('vif5.0');
  settled.release();
  await born;
  await domain.settle();
  expect(domain.events.all).toEqual([]);
});

test('an error of whenQuiet does not hide the failure', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('set-link', 'Device or resource busy', 1);
  domain.host.failCall('when-quiet', new Error('ENOBUFS'), 1);
  await domain.birth(id);
  expect(domain.events.last('vif5.0')).toMatchObject({
    kind: 'failed',
    error: 'run ip link set dev vif5.0 master xenbr0 up: Device or resource busy',
  });
});

test('a bridge that is replaced during a change is no failure of the vif', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.host.remove('xenbr0');
  domain.host.add({ name: 'xenbr0', kind: 'bridge' });
  up.release(new Error('No such device'));
  await born;
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.host.link('vif5.0')?.master).toBe(domain.host.link('xenbr0')?.index);
});

test('a bridge that goes during a change: the vif is refused for that, not for the change', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  domain.host.remove('xenbr0');
  up.release(new Error('No such device'));
  await born;
  await domain.settle();
  expect(domain.events.all).toMatchObject([
    { kind: 'failed', error: 'attach vif5.0 to bridge xenbr0: no such bridge' },
  ]);
});

test('a netdev that has been renamed is known by its parent, and given its name again', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, {}, { parent: 'vif-5-0' });
  domain.host.change('vif5.0', { name: 'lan' });
  await domain.settle();
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'repaired' });
  expect(domain.host.link('vif5.0')?.up).toBe(true);
});

test('netback that gives up is reported at once', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.create(id, { bridge: 'xenbr0', state: '5' });
  await domain.settle();
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', errorKind: 'kernel' });
});

test('a vif takes the name of a device that was made forward before', async () => {
  const keys = { script: '/etc/xen/scripts/vif-nat', bridge: '' };
  const domain = new DriverDomain({
    links: [
      { name: 'eth0', up: true, addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { name: 'web0', up: true },
    ],
    ip: {
      routes: [
        { to: '0.0.0.0/0', dev: 'eth0' },
        { to: '::/0', dev: 'eth0' },
      ],
    },
  });
  await domain.start();
  const other = { domid: 6, devid: 0 };
  await domain.birth(other, { ...keys, ip: '10.7.0.6 fd07::6' });
  const note = { set: 'opened_families', key: ['ipv6'] } as const;
  const closed = { set: 'opened6', key: ['web0'] } as const;
  const nft = () => domain.host.observe().nft;
  expect(nft()?.isNoted(note)).toBe(true);
  domain.host.remove('web0');
  await domain.birth(id, { ...keys, ip: '10.7.0.5 fd07::5', vifname: 'web0' });
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(nft()?.owner(closed)).toBe('vif5.0');
  // It goes, and the other is as it was.
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.settle();
  domain.host.change('vif6.0', { mtu: 1400 });
  await domain.settle();
  expect(domain.told(other)).toEqual({ status: 'connected', error: undefined });
  expect(nft()?.owner(closed)).toBeUndefined();
  expect(nft()?.isNoted(note)).toBe(true);
});
