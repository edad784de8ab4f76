import { expect, test } from 'vitest';
import { configOf, DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };

/** A vif as an earlier daemon or the stock agent left it. */
const attachedBefore = {
  links: [
    { name: 'xenbr0', kind: 'bridge', up: true },
    { name: 'vif5.0', master: 'xenbr0', up: true },
  ],
} as const;

/** With nothing of its own in nf_tables for a vif without `ip`. */
const unfiltered = '[antispoof]\ncontrol_frames = true\n';

test('a vif is attached when its netdev comes after its keys', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.settle();
  expect((await domain.status(id))?.state).toBe('waiting');
  expect(domain.told(id)).toEqual({ status: '', error: undefined });
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  expect(domain.host.commands).toEqual([
    expect.stringContaining('add element netdev vifd unheld { "vif5.0"'),
    'ip link set dev vif5.0 master xenbr0 up',
  ]);
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(domain.backend.frontendMtu(id)).toBe('1500');
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
});

test('a vif is attached when its keys come after its netdev', async () => {
  const domain = new DriverDomain({ config: unfiltered });
  await domain.start();
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  // A netdev without keys is one that dom0 has removed: the vif is reconciled, and nothing is reported.
  expect(domain.events.all).toEqual([]);
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.settle();
  expect(domain.host.commands).toEqual(['ip link set dev vif5.0 master xenbr0 up']);
  expect(domain.told(id).status).toBe('connected');
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('a birth is a read for all its keys, and what vifd wrote itself is read once more and is no reason for a look', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.host.add({ name: 'vif5.0' });
  await domain.settle();
  const { reconciliations } = domain;
  domain.backend.create(id, { bridge: 'xenbr0', ip: '10.0.0.5' });
  await domain.settle();
  expect(domain.reconciliations - reconciliations).toBe(1);
  expect(await domain.reconciliationsDuring(() => domain.pass(10_000))).toBe(0);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
});

test('attaching takes as long as from the event to the status, what others took included', async () => {
  const domain = new DriverDomain();
  await domain.start();
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  const passed = domain.pass(30);
  await born;
  await passed;
  up.release();
  await domain.settle();
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'attached', ms: 30 });
  expect((await domain.status(id))?.attachMs).toBe(30);
});

test('what another agent has attached is adopted: nothing is done, no hook is called', async () => {
  const domain = new DriverDomain({ ...attachedBefore, config: unfiltered });
  domain.backend.create(id, { bridge: 'xenbr0', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.host.commands).toEqual([]);
  expect(domain.events.of('vif5.0')).toEqual(['adopted']);
  expect(domain.events.last('vif5.0')).not.toHaveProperty('actions');
  expect(domain.hooks.calls).toEqual([]);
  expect((await domain.status(id))?.state).toBe('attached');
  // The hooks were called for it before, so a change is an update.
  domain.backend.set(id, { mtu: '1400' });
  await domain.settle();
  expect(domain.hooks.of('vif5.0')).toEqual(['update']);
});

test('what is added to an adopted vif is told with the adoption', async () => {
  const domain = new DriverDomain({
    ...attachedBefore,
    config: '[antispoof]\nmode = "off"\ncontrol_frames = true\n[[vif]]\nisolated = true\n',
  });
  domain.backend.create(id, { bridge: 'xenbr0', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'adopted', actions: domain.host.commands });
  expect(domain.host.commands).toHaveLength(1);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
});

test('an offload, which cannot be seen, is set anew after a restart without a word to the hooks', async () => {
  const domain = new DriverDomain({
    ...attachedBefore,
    config: `${unfiltered}[[vif]]\noffload = { tso = false }\n`,
  });
  domain.backend.create(id, { bridge: 'xenbr0', 'hotplug-status': 'connected' });
  await domain.start();
  expect(domain.host.commands).toEqual(['ethtool -K vif5.0 tso off']);
  expect(domain.events.of('vif5.0')).toEqual(['adopted']);
  expect(domain.hooks.calls).toEqual([]);
});

test('a vif of a status that is not connected is attached, though nothing is left to do for it', async () => {
  const domain = new DriverDomain(attachedBefore);
  domain.backend.create(id, { bridge: 'xenbr0' });
  await domain.start();
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
});

test('where the host has changed it is repaired, where something else is wanted it is updated', async () => {
  const domain = new DriverDomain({
    links: [
      { name: 'xenbr0', kind: 'bridge' },
      { name: 'xenbr1', kind: 'bridge' },
    ],
  });
  await domain.start();
  await domain.birth(id);
  domain.host.change('vif5.0', { up: false });
  await domain.settle();
  expect(domain.events.last('vif5.0')).toMatchObject({
    kind: 'repaired',
    actions: ['ip link set dev vif5.0 up'],
  });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach']);
  domain.backend.set(id, { bridge: 'xenbr1' });
  await domain.settle();
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'updated', bridge: 'xenbr1' });
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'update']);
  expect(domain.hooks.calls.at(-1)).toMatchObject({ bridge: 'xenbr1', netdev: 'vif5.0', mtu: 1500 });
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'repaired', 'updated']);
});

test('a routed vif that goes down before the first look after its birth is repaired as well', async () => {
  const domain = new DriverDomain({
    links: [{ name: 'eth0', up: true, addresses: ['192.0.2.1/24'] }],
    ip: { routes: [{ to: '0.0.0.0/0', dev: 'eth0' }] },
  });
  await domain.start();
  await domain.birth(id, { script: '/etc/xen/scripts/vif-route', bridge: '', ip: '192.0.2.5' });
  domain.host.change('vif5.0', { up: false });
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'repaired']);
});

test('a configuration read anew is followed at once, and only what it changes is touched', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.birth({ domid: 6, devid: 0 });
  const before = domain.host.performed.length;
  const config = '[[vif]]\nbridge = "xenbr0"\ntxqueuelen = 64\n';
  await domain.reconciler.reconfigure(configOf(config));
  expect(domain.host.commands.slice(before).sort()).toEqual([
    'ip link set dev vif5.0 txqueuelen 64',
    'ip link set dev vif6.0 txqueuelen 64',
  ]);
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'updated']);
});

test('a vif that cannot be attached is refused, and healed by what it waits for', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { bridge: 'xenbr1' });
  const error = 'attach vif5.0 to bridge xenbr1: no such bridge; the bridges here are xenbr0';
  expect(domain.told(id)).toEqual({ status: 'error', error });
  expect(domain.events.last('vif5.0')).toMatchObject({ kind: 'failed', error, errorKind: 'bridge' });
  expect(await domain.status(id)).toMatchObject({ state: 'failed', error, errorKind: 'bridge' });
  // It waits for a change, so that only the periodic resync reconciles it again.
  await domain.pass(1000);
  const rounds = domain.host.refreshes;
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(600_000));
  expect(reconciliations).toBe(domain.host.refreshes - rounds);
  // Another netdev does not concern it.
  expect(await domain.reconciliationsDuring(async () => void domain.host.add({ name: 'eth7' }))).toBe(0);
  domain.host.add({ name: 'xenbr1', kind: 'bridge' });
  await domain.settle();
  expect(domain.told(id)).toEqual({ status: 'connected', error: undefined });
  expect(domain.events.of('vif5.0')).toEqual(['failed', 'attached']);
  expect(await domain.status(id)).toMatchObject({ state: 'attached', error: null });
});

test('a bridge that goes takes its vif off, and is told to hooks; when it comes back the vif is attached', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.host.remove('xenbr0');
  await domain.settle();
  expect(domain.told(id).status).toBe('error');
  expect(domain.host.link('vif5.0')?.up).toBe(false);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach']);
  domain.host.add({ name: 'xenbr0', kind: 'bridge' });
  await domain.settle();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'failed', 'attached']);
  expect(domain.hooks.of('vif5.0')).toEqual(['attach', 'detach', 'attach']);
});

test('a guest that reconnects keeps its attachment', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  const before = domain.host.performed.length;
  for (const state of ['5', '6', '2', '4']) {
    domain.backend.set(id, { state });
    await domain.settle();
  }
  expect(domain.host.performed).toHaveLength(before);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.told(id).status).toBe('connected');
});

test('keys that decide nothing, and paths that are no vifs, cause no reconciliation', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.pass(1000);
  const reconciliations = await domain.reconciliationsDuring(async () => {
    domain.backend.set(id, { 'feature-sg': '1', 'multi-queue-max-queues': '4' });
    domain.reconciler.xenstoreChanged('backend/vbd/5/768');
    domain.reconciler.xenstoreChanged('backend/vif/x');
    domain.reconciler.xenstoreChanged('backend/vif/7/0/hotplug-status');
    await domain.pass(1000);
  });
  expect(reconciliations).toBe(0);
});
