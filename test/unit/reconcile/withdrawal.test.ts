import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';
import type { PlainIp } from '../../fake/ip-machine.js';
import type { PlainLink } from '../../fake/machine.js';

const id = { domid: 5, devid: 0 };

/** A domain with a default route. */
const router: { links: PlainLink[]; ip: PlainIp; config: string } = {
  links: [{ name: 'eth0', up: true, mac: '02:00:00:00:00:01', addresses: ['192.0.2.1/24'] }],
  ip: { routes: [{ to: '0.0.0.0/0', dev: 'eth0' }] },
  config: '[antispoof]\nmode = "off"\n',
};
const natKeys = { script: '/etc/xen/scripts/vif-nat', bridge: '' };
const routeKeys = { script: '/etc/xen/scripts/vif-route', bridge: '', ip: '192.0.2.5' };

test.each([
  ['NAT', natKeys],
  ['route', routeKeys],
])('the link goes down before anything else is withdrawn, %s', async (_, keys) => {
  const domain = new DriverDomain(router);
  await domain.start();
  await domain.birth(id, keys);
  expect(domain.told(id).status).toBe('connected');
  const before = domain.host.performed.length;
  domain.backend.set(id, { ip: 'not an address' });
  await domain.settle();
  const done = domain.host.commands.slice(before);
  expect(done[0]).toBe('ip link set dev vif5.0 down');
  expect(done.length).toBeGreaterThan(1);
  expect(domain.told(id).status).toBe('error');
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
});

test('every further action of a withdrawal is performed although one fails, and the failure is told', async () => {
  const domain = new DriverDomain(router);
  await domain.start();
  await domain.birth(id, natKeys);
  expect(domain.host.machine.ip.masquerades.size).toBe(1);
  const heal = domain.host.fail('set-link', 'Device or resource busy');
  domain.backend.set(id, { ip: 'not an address' });
  await domain.settle();
  // All that could be removed is; the rest is tried a few times and then left to the back-off.
  expect(domain.host.machine.ip.masquerades.size).toBe(0);
  expect(domain.told(id)).toMatchObject({
    status: 'error',
    error: 'run ip link set dev vif5.0 down: Device or resource busy',
  });
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed']);
  heal();
  await domain.pass(500);
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, addresses: [] });
  // Now it is off the network, and the error is the one for which it was taken off.
  expect(domain.told(id).error).toMatch(/is not a list of addresses/);
});

test('of several failures of a withdrawal the first is told', async () => {
  const domain = new DriverDomain(router);
  await domain.start();
  await domain.birth(id, natKeys);
  domain.host.fail('nft', 'second', 4);
  domain.host.fail('set-link', 'first', 4);
  domain.backend.set(id, { ip: 'not an address' });
  await domain.settle();
  expect(domain.told(id).error).toMatch(/: first$/);
});

test('a withdrawal that succeeds without an effect is retried by the back-off only', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.host.ignore('set-link');
  domain.backend.set(id, { bridge: 'xenbr9' });
  await domain.settle();
  expect(domain.told(id).error).toMatch(/still to do afterwards: ip link set dev vif5.0 nomaster down/);
  const rounds = domain.host.refreshes;
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(600_000));
  expect(reconciliations).toBeLessThanOrEqual(6 + 10 + (domain.host.refreshes - rounds));
});

test('a vif whose filter cannot be installed is taken off the network', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge', up: true },
      { name: 'vif5.0', master: 'xenbr0', up: true },
    ],
  });
  const heal = domain.host.fail('nft', 'Operation not supported');
  domain.backend.create(id, { bridge: 'xenbr0', ip: '10.0.0.5', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.told(id)).toMatchObject({
    status: 'error',
    error: expect.stringMatching(/Operation not supported$/),
  });
  heal();
  await domain.pass(2000);
  expect(domain.host.link('vif5.0')?.up).toBe(true);
  expect(domain.told(id).status).toBe('connected');
});

test('a filter that is taken and not there afterwards isolates the vif as well', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge', up: true },
      { name: 'vif5.0', master: 'xenbr0', up: true },
    ],
  });
  domain.host.ignore('nft');
  domain.backend.create(id, { bridge: 'xenbr0', ip: '10.0.0.5', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.told(id).status).toBe('error');
});

test('a vif that fails at something else than its filter stays as it is', async () => {
  const domain = new DriverDomain({ config: '[[vif]]\noffload = { tso = false }\n' });
  await domain.start();
  domain.host.fail('set-offload', 'netlink error: Operation not supported');
  await domain.birth(id, { ip: '10.0.0.5' });
  expect(domain.told(id).status).toBe('error');
  expect(domain.host.link('vif5.0')?.up).toBe(true);
});

test('a default route that goes is told once as missing, and the vif goes on; so is its coming back', async () => {
  const domain = new DriverDomain(router);
  await domain.start();
  await domain.birth(id, routeKeys);
  const setRoute = domain.host.machine.ip;
  domain.host.remove('eth0');
  await domain.settle();
  expect(setRoute.routes.onDevice(domain.host.link('vif5.0')?.index ?? 0)).toHaveLength(1);
  expect(domain.events.of('vif5.0').filter((kind) => kind === 'degraded')).toHaveLength(1);
  expect(await domain.status(id)).toMatchObject({ state: 'attached', error: null });
  expect((await domain.status(id))?.missing).toHaveLength(1);
  await domain.pass(300_000);
  domain.backend.set(id, { state: '4' });
  await domain.settle();
  expect(domain.events.of('vif5.0').filter((kind) => kind === 'degraded')).toHaveLength(1);
  expect(domain.told(id).status).toBe('connected');
});

test('what is missing is told as recovered once when it is there again', async () => {
  const domain = new DriverDomain({
    ...router,
    config: '[antispoof]\nmode = "off"\n[nat]\nuplink = "eth1"\n',
  });
  await domain.start();
  await domain.birth(id, natKeys);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'degraded']);
  domain.host.add({ name: 'eth1', up: true });
  await domain.settle();
  expect(domain.events.of('vif5.0').filter((kind) => kind === 'recovered')).toHaveLength(1);
  expect((await domain.status(id))?.missing).toEqual([]);
  domain.host.remove('eth1');
  await domain.settle();
  expect(domain.events.of('vif5.0').filter((kind) => kind === 'degraded')).toHaveLength(2);
  expect(domain.hooks.of('vif5.0')).not.toContain('detach');
});

test('an address stays with the newer of two vifs while its link is down, and comes back when that goes', async () => {
  const domain = new DriverDomain({ ...router, config: '' });
  await domain.start();
  await domain.birth(id, routeKeys);
  const newer = { domid: 6, devid: 0 };
  await domain.birth(newer, { ...routeKeys, mac: '00:16:3e:00:00:06' });
  const ofOlder = (since: number): string[] =>
    domain.host.commands.slice(since).filter((command) => command.includes('dev vif5.0'));
  // The machine in memory has no news of addresses.
  domain.host.changed('vif5.0');
  await domain.settle();
  const before = domain.host.performed.length;
  domain.host.change('vif6.0', { up: false });
  domain.host.changed('vif5.0');
  await domain.settle();
  expect(ofOlder(before)).toEqual([]);
  expect(domain.host.link('vif6.0')?.up).toBe(true);
  domain.backend.set(newer, { ip: '192.0.2.6' });
  await domain.settle();
  expect(ofOlder(before)).toContain('ip route replace 192.0.2.5 dev vif5.0 src 192.0.2.1 proto 120 metric 2');
});

test.each([
  ['kept when its link was down for a moment', false],
  ['forgotten when its netdev was made anew', true],
])('the connections of a guest behind NAT are %s', async (_, isNew) => {
  const domain = new DriverDomain({ ...router, config: '' });
  await domain.start();
  await domain.birth(id, natKeys);
  const before = domain.host.performed.length;
  if (isNew) {
    domain.host.remove('vif5.0');
    domain.host.add({ name: 'vif5.0' });
  } else domain.host.change('vif5.0', { up: false });
  await domain.settle();
  const done = domain.host.commands.slice(before).join();
  expect(done).toContain('ip route replace 10.0.5.1 dev vif5.0');
  expect(done.includes('conntrack')).toBe(isNew);
});

test('a vif without its filter that cannot be taken off the network is reported for that, and tried again', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge', up: true },
      { name: 'vif5.0', master: 'xenbr0', up: true },
    ],
  });
  const heal = [
    domain.host.fail('nft', 'Operation not supported'),
    domain.host.fail('set-link', 'Device or resource busy'),
  ];
  domain.backend.create(id, { bridge: 'xenbr0', ip: '10.0.0.5', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.told(id)).toMatchObject({
    status: 'error',
    error: expect.stringMatching(/^run ip link set dev vif5\.0 nomaster down: Device or resource busy$/),
  });
  for (const end of heal) end();
  await domain.pass(2000);
  expect(domain.told(id).status).toBe('connected');
  expect(domain.host.machine.nft.chains('vif5.0')).toHaveLength(1);
});
