import { expect, test } from 'vitest';
import { DriverDomain } from '../../fake/driver-domain.js';

const id = { domid: 5, devid: 0 };
const other = { domid: 6, devid: 0 };
const block = { vif: 'vif5.0', since: '2026-01-01T00:00:00.000Z', by: 'uid 0' };

/** Whether the chain of a vif lets nothing pass. */
const isShut = (domain: DriverDomain, vif: string): boolean[] =>
  domain.host.machine.nft.chains(vif).map(({ blocks = false }) => blocks);

const keysOf = (domain: DriverDomain, vif: string) => {
  const keys = domain.reconciler.keysOf(vif);
  if (keys === undefined) throw new Error(`no keys of ${vif}`);
  return keys;
};

test('a vif is blocked by the time that it is told so, stays connected, and passes frames again when it is allowed', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id, { ip: '10.0.0.5' });
  await domain.birth(other, { ip: '10.0.0.6' });
  const before = domain.host.performed.length;
  domain.blocks.add(keysOf(domain, 'vif5.0'), block);
  await domain.reconciler.reconcileAgain(({ mac }) => mac === '00:16:3e:00:00:05');
  expect(isShut(domain, 'vif5.0')).toContain(true);
  expect(await domain.status(id)).toMatchObject({
    state: 'attached',
    blocked: { since: block.since, by: 'uid 0' },
  });
  expect(domain.told(id).status).toBe('connected');
  expect(isShut(domain, 'vif6.0')).not.toContain(true);
  expect(domain.host.commands.slice(before).join('\n')).not.toContain('vif6.0');
  domain.blocks.delete(keysOf(domain, 'vif5.0'));
  await domain.reconciler.reconcileAgain(() => true);
  expect(isShut(domain, 'vif5.0')).not.toContain(true);
  expect((await domain.status(id))?.blocked).toBeNull();
  expect(domain.events.of('vif5.0')).toEqual(['attached', 'updated', 'updated']);
});

test('a card that is blocked is so from the birth of its vif, and before the link is up', async () => {
  const domain = new DriverDomain();
  await domain.start();
  domain.blocks.add({ id, mac: '00:16:3e:00:00:05' }, block);
  const up = domain.host.hold('set-link');
  const born = domain.birth(id);
  await up.reached;
  expect(isShut(domain, 'vif5.0')).toContain(true);
  up.release();
  await born;
  expect(domain.told(id).status).toBe('connected');
});

test('a block that cannot be made leaves the vif off the network', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  domain.blocks.add(keysOf(domain, 'vif5.0'), block);
  const heal = domain.host.fail('nft', 'Operation not supported');
  await domain.reconciler.reconcileAgain(() => true);
  expect(domain.host.link('vif5.0')).toMatchObject({ up: false, master: undefined });
  expect(domain.told(id).status).toBe('error');
  heal();
  await domain.pass(1000);
  expect(domain.told(id).status).toBe('connected');
  expect(isShut(domain, 'vif5.0')).toContain(true);
});

test('what is waited for is a reconciliation that has seen all events up to its end', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  await domain.pass(1000);
  const read = domain.backend.hold('read', 'answer', id);
  let isDone = false;
  const done = domain.reconciler
    .reconcileAgain(() => true)
    .then(() => {
      isDone = true;
    });
  await read.reached;
  // An event during the read: another reconciliation follows, and its read is held as well.
  const again = domain.backend.hold('read', 'answer', id);
  domain.backend.set(id, { mtu: '1400' });
  await domain.settle();
  read.release();
  await again.reached;
  expect(isDone).toBe(false);
  again.release();
  await done;
  expect(domain.host.link('vif5.0')?.mtu).toBe(1400);
});

test('vifs that others are meant by are not reconciled, nor is one without keys waited for', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(id);
  const { reconciliations } = domain;
  await domain.reconciler.reconcileAgain(({ mac }) => mac === '00:16:3e:00:00:99');
  domain.host.add({ name: 'vif7.0' });
  expect(domain.reconciler.keysOf('vif7.0')).toBeUndefined();
  expect(domain.reconciler.keysOf('vif99.0')).toBeUndefined();
  await domain.reconciler.reconcileAgain(({ id: of }) => of.domid === 7);
  await domain.settle();
  expect(domain.reconciliations).toBe(reconciliations + 1);
});
