import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { FakeBackend, Refused } from '../../fake/backend.js';
import { DriverDomain } from '../../fake/driver-domain.js';

// The guest's own vif, and the copy of it that libxl gives to the stubdomain, which is made first.
const own = { domid: 5, devid: 0 };
const emulated = { domid: 6, devid: 0 };
const keys = { mac: '00:16:3e:00:05:00', ip: '10.0.0.5' };

const isSilent = (domain: DriverDomain, name: string): boolean =>
  domain.host.link(name)?.port?.silent === true;

/** The commands since then that concern a vif. */
const since = (domain: DriverDomain, from: number, vif: string): string[] =>
  domain.host.commands.slice(from).filter((command) => command.includes(vif));

test('the port of a vif falls silent when its twin comes, and speaks again when that goes', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(emulated, keys);
  expect(isSilent(domain, 'vif6.0')).toBe(false);
  await domain.birth(own, keys);
  // Nothing of the older vif has changed but that it has a twin.
  expect(isSilent(domain, 'vif6.0')).toBe(true);
  expect(isSilent(domain, 'vif5.0')).toBe(false);
  expect((await domain.status(emulated))?.standbyFor).toEqual(['vif5.0']);
  expect((await domain.status(own))?.standbyFor).toEqual([]);
  domain.host.remove('vif5.0');
  domain.backend.delete(own);
  await domain.settle();
  expect(isSilent(domain, 'vif6.0')).toBe(false);
  expect(domain.told(emulated).status).toBe('connected');
});

test('a vif whose keys make it another card is a twin no more', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(emulated, keys);
  await domain.birth(own, keys);
  await domain.pass(1000);
  domain.backend.set(own, { mac: '00:16:3e:00:05:01' });
  await domain.settle();
  expect(isSilent(domain, 'vif6.0')).toBe(false);
  expect(isSilent(domain, 'vif5.0')).toBe(false);
});

test('a vif that dom0 takes away hands over before netback has closed it', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(emulated, keys);
  await domain.birth(own, keys);
  domain.backend.set(own, { online: '0', state: '5' });
  await domain.settle();
  expect(isSilent(domain, 'vif6.0')).toBe(false);
});

/** A backend with both vifs, connected before the daemon starts, which hears no events of that. */
async function connected(): Promise<FakeBackend> {
  const backend = new FakeBackend();
  for (const id of [emulated, own])
    backend.create(id, { bridge: 'xenbr0', ...keys, 'hotplug-status': 'connected' });
  await turn();
  return backend;
}

const links = [
  { name: 'xenbr0', kind: 'bridge', up: true },
  { name: 'vif6.0', master: 'xenbr0', up: true },
  { name: 'vif5.0', master: 'xenbr0', up: true },
];

test('which vifs are of one card is known before the first of them is reconciled', async () => {
  const domain = new DriverDomain({ links, backend: await connected() });
  const read = domain.backend.hold('read', 'answer', own);
  const started = domain.start();
  await read.reached;
  await domain.settle();
  expect(domain.reconciliations).toBe(0);
  read.release();
  await started;
  expect(isSilent(domain, 'vif6.0')).toBe(true);
  expect(isSilent(domain, 'vif5.0')).toBe(false);
  // Each was brought to what it is to be once, and not as if it were alone before.
  for (const vif of ['vif5.0', 'vif6.0'])
    expect(
      domain.host.performed.filter((action) => action.kind === 'set-port' && action.name === vif).length,
    ).toBeLessThanOrEqual(1);
});

test('keys that cannot be read at the start are read again, and the other vifs do not wait for them', async () => {
  const domain = new DriverDomain({ links, backend: await connected() });
  domain.backend.fail('read', new Refused('EAGAIN'), { id: own, times: 1 });
  await domain.start();
  expect(domain.events.of('vif5.0')).toEqual(['adopted']);
  expect(domain.told(own)).toEqual({ status: 'connected', error: undefined });
  // Its twin has heard of it then.
  expect(isSilent(domain, 'vif6.0')).toBe(true);
});

test('xenstore that is lost while keys are read at the start is told, and changes nothing', async () => {
  const domain = new DriverDomain({ links, backend: await connected() });
  domain.backend.lose('read');
  await domain.start();
  expect(domain.losses).toHaveLength(1);
  expect(since(domain, 0, 'vif')).toEqual([]);
});
