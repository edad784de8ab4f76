import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const file = '/etc/xen/scripts/vif-lan';
const keys = { script: file, bridge: '' };

/** A domain in which the script runs for the vif. */
async function running(): Promise<DriverDomain> {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, keys);
  return domain;
}

/** Ends the script, which has written its success to xenstore. */
async function succeed(domain: DriverDomain): Promise<void> {
  domain.backend.set(id, { 'hotplug-status': 'connected' });
  domain.host.endScript(id, 'online');
  await domain.settle();
}

test('a script is started once, and nothing is told before it has told itself', async () => {
  const domain = await running();
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['run-script']);
  expect((await domain.status(id))?.state).toBe('waiting');
  await domain.pass(30_000);
  expect(domain.host.performed).toHaveLength(1);
  expect(domain.events.all).toEqual([]);
  await succeed(domain);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.events.last('vif5.0')).toMatchObject({ topology: 'script' });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
  expect(domain.told(id).status).toBe('connected');
});

test('the bridge a script chose is told', async () => {
  const domain = await running();
  domain.host.change('vif5.0', { master: domain.host.link('xenbr0')?.index, up: true });
  await succeed(domain);
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'attached', bridge: 'xenbr0' });
  expect(domain.hooks.calls.at(-1)).toMatchObject({ bridge: 'xenbr0', topology: 'script' });
});

test('a script that ends well without a status is said so once, and the vif waits', async () => {
  const domain = await running();
  domain.host.endScript(id, 'online');
  await domain.pass(100_000);
  expect(await domain.status(id)).toMatchObject({
    state: 'waiting',
    error: expect.stringMatching(/wrote no hotplug-status$/),
  });
  expect(domain.journal.filter(({ msg }) => msg === 'vif waits for its script')).toMatchObject([
    { errorCode: 'script-silent', errorKind: 'script' },
  ]);
  expect(domain.events.all).toEqual([]);
  // A process that it started may write the status later.
  domain.backend.set(id, { 'hotplug-status': 'connected' });
  await domain.pass(1000);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect((await domain.status(id))?.error).toBeNull();
});

test('a script that fails is reported, and run again when dom0 changes a key', async () => {
  const domain = await running();
  domain.host.endScript(id, 'failed', 'exit status 1');
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'error', error: `run script ${file}: exit status 1` });
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', errorKind: 'script' });
  await domain.pass(300_000);
  expect(domain.host.performed).toHaveLength(1);
  domain.backend.set(id, { ip: '10.0.0.5' });
  await domain.settle();
  // Undone first, and the error deleted, so that the status afterwards is the new run's.
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual([
    'run-script',
    'undo-script',
    'nft',
    'run-script',
  ]);
  expect(domain.told(id)).toEqual({ status: '', error: undefined });
  await succeed(domain);
  expect(domain.events.of('vif5.0')).toEqual(['failed', 'attached']);
});

test('the words of a failing script go before how it ended', async () => {
  const domain = await running();
  domain.backend.set(id, { 'hotplug-error': 'no VLAN left', 'hotplug-status': 'error' });
  domain.host.endScript(id, 'failed', 'exit status 1');
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'error', error: 'no VLAN left' });
  expect(domain.events.last('vif5.0')).toMatchObject({ error: `run script ${file}: no VLAN left` });
});

test('a script that may not be run is tried again, and the error does not flicker meanwhile', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const heal = domain.host.failCall('check-script', new Error('it belongs to user 1000'));
  await domain.birth(id, keys);
  expect(domain.told(id).status).toBe('error');
  const statuses = new Set<string | undefined>();
  for (let i = 0; i < 100; i++) {
    await domain.pass(100);
    statuses.add(domain.told(id).status);
  }
  expect([...statuses]).toEqual(['error']);
  expect(domain.host.performed).toEqual([]);
  heal();
  await domain.pass(60_000);
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['run-script']);
});

test('a script that cannot be started is tried again by the back-off', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.fail('run-script', 'fork: EAGAIN', 1);
  await domain.birth(id, keys);
  expect(domain.told(id)).toMatchObject({ status: 'error', error: expect.stringMatching(/EAGAIN$/) });
  await domain.pass(500);
  expect(domain.told(id)).toEqual({ status: '', error: undefined });
  await succeed(domain);
  expect(domain.told(id).status).toBe('connected');
});

test('a script whose start is taken and does nothing is given up after four rounds', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.ignore('run-script');
  await domain.birth(id, keys);
  expect(domain.host.performed).toHaveLength(4);
  expect(domain.told(id)).toMatchObject({
    status: 'error',
    error: expect.stringMatching(/still to do afterwards/),
  });
});

test('a directory that goes before the script starts: it is not started', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const check = domain.host.holdCall('check-script');
  domain.backend.create(id, { ...keys, 'hotplug-status': 'error' });
  domain.host.add({ name: 'vif5.0' });
  await check.reached;
  domain.backend.delete(id);
  check.release();
  await domain.settle();
  expect(domain.host.performed).toEqual([]);
  expect(domain.events.of('vif5.0')).not.toContain('failed');
});

test('what a script has attached before is adopted without being run', async () => {
  const domain = new DriverDomain({ links: [{ name: 'vif5.0', up: true }] });
  domain.backend.create(id, { ...keys, 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['adopt-script']);
  expect(domain.events.of('vif5.0')).toEqual(['adopted']);
  expect(domain.hooks.calls).toEqual([]);
});

test('a new netdev has its script run anew, and hooks hear of both', async () => {
  const domain = await running();
  await succeed(domain);
  domain.host.remove('vif5.0');
  await domain.settle();
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  expect(domain.host.performed.map(({ kind }) => kind)).toEqual(['run-script', 'undo-script', 'run-script']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
  await succeed(domain);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach', 'attach']);
});

test('a script is undone when dom0 takes its vif away', async () => {
  const domain = await running();
  await succeed(domain);
  domain.backend.set(id, { online: '0', state: '6' });
  await domain.settle();
  expect(domain.host.performed.map(({ kind }) => kind)).toContain('undo-script');
  expect(domain.host.machine.scripts.size).toBe(0);
  expect(domain.backend.keys(id)).toBeUndefined();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'removed']);
});

test('a vif that goes from a script to a bridge is undone first, and then seen as it is by then', async () => {
  const domain = await running();
  await succeed(domain);
  domain.backend.set(id, { script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0' });
  await domain.settle();
  const kinds = domain.host.performed.map(({ kind }) => kind);
  expect(kinds).toEqual(['run-script', 'undo-script', 'nft', 'set-link']);
  expect(domain.events.last('vif5.0')).toMatchObject({ topology: 'bridge', bridge: 'xenbr0' });
});

test('a script whose vif can no longer be held to its addresses is undone', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { ...keys, ip: '10.0.0.5' });
  domain.host.change('vif5.0', { up: true });
  await succeed(domain);
  domain.host.fail('nft', 'Operation not supported');
  domain.backend.set(id, { ip: '10.0.0.6' });
  await domain.settle();
  expect(domain.host.link('vif5.0')?.up).toBe(false);
  expect(domain.host.machine.scripts.size).toBe(0);
  expect(domain.told(id)).toMatchObject({ status: 'error' });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
});

test('the end of a script during a reconciliation causes another one', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const run = domain.host.hold('run-script');
  const born = domain.birth(id, keys);
  await run.reached;
  run.release();
  domain.backend.set(id, { 'hotplug-status': 'connected' });
  await born;
  domain.host.endScript(id, 'online');
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('the words that a failing script writes while its vif is changed go before how it ended', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { ...keys, ip: '10.0.0.5' });
  const filter = domain.host.hold('nft');
  domain.host.machine.nft.spoilChains();
  domain.host.endScript(id, 'failed', 'exit status 1');
  await filter.reached;
  domain.backend.set(id, { 'hotplug-error': 'no VLAN left', 'hotplug-status': 'error', state: '2' });
  await domain.settle();
  filter.release();
  await domain.settle();
  expect(domain.events.all.map(({ kind, error }) => [kind, error])).toEqual([
    ['failed', `run script ${file}: no VLAN left`],
  ]);
});
