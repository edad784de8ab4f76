import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { VifId } from '../../../src/model/vif-id.js';
import { readFirstKeys } from '../../../src/reconcile/first-keys.js';
import { FakeBackend, Refused } from '../../fake/backend.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const [same, changed, gone, born] = [5, 6, 7, 8].map((domid) => ({ domid, devid: 0 })) as [
  VifId,
  VifId,
  VifId,
  VifId,
];

/** A domain with two bridges and a netdev for each of four vifs. */
const domainWith = (backend: FakeBackend): DriverDomain =>
  new DriverDomain({
    backend,
    links: [
      ...['xenbr0', 'xenbr1'].map((name) => ({ name, kind: 'bridge', up: true })),
      ...[5, 6, 7, 8].map((domid) => ({ name: `vif${domid}.0` })),
    ],
  });

/** The bridge that each of the four vifs is on. */
const bridgesIn = ({ host }: DriverDomain): (string | undefined)[] =>
  [5, 6, 7, 8].map((domid) => {
    const master = host.link(`vif${domid}.0`)?.master;
    return ['xenbr0', 'xenbr1'].find((name) => master !== undefined && host.link(name)?.index === master);
  });

test('keys that were read before there was a reconciler count, but for those that an event is about', async () => {
  const backend = new FakeBackend();
  for (const id of [same, changed, gone]) backend.create(id, { bridge: 'xenbr0' });
  // The events of that come before.
  await turn();
  const first = await readFirstKeys(backend);
  backend.set(changed, { bridge: 'xenbr1' });
  backend.delete(gone);
  backend.create(born, { bridge: 'xenbr1' });
  const domain = domainWith(backend);
  // None of the vif whose keys are as they were read fails.
  backend.fail('read', new Refused('read twice'), { id: same });
  backend.fail('list', new Refused('listed twice'));
  await domain.reconciler.begin(first);
  await domain.settle();
  expect(bridgesIn(domain)).toEqual(['xenbr0', 'xenbr1', undefined, 'xenbr1']);
  expect(domain.events.of('vif5.0')).toEqual(['attached']);
  expect(domain.events.of('vif6.0')).toEqual(['attached']);
  expect(domain.events.of('vif7.0')).not.toContain('attached');
});

test('a vif whose keys could not be read at first is read again, and costs no other its keys', async () => {
  const backend = new FakeBackend();
  for (const id of [same, changed]) backend.create(id, { bridge: 'xenbr0' });
  backend.fail('read', new Refused('not now'), { id: changed, times: 1 });
  const first = await readFirstKeys(backend);
  expect(first.read.map(([id]) => id)).toEqual([same]);
  const domain = domainWith(backend);
  await domain.reconciler.begin(first);
  await domain.settle();
  expect(bridgesIn(domain)).toEqual(['xenbr0', 'xenbr0', undefined, undefined]);
});

test('a xenstored that is lost while the first keys are read is no store without vifs', async () => {
  const backend = new FakeBackend();
  backend.create(same, { bridge: 'xenbr0' });
  backend.lose('read');
  await expect(readFirstKeys(backend)).rejects.toThrow('out of reach');
});

test('an event that has all vifs listed is not covered by the list from before', async () => {
  const backend = new FakeBackend();
  backend.create(same, { bridge: 'xenbr0' });
  await turn();
  const first = await readFirstKeys(backend);
  // Without a netdev, by which it would be found as well.
  const late = { domid: 9, devid: 0 };
  backend.create(late, { bridge: 'xenbr1' });
  // Of a tree that comes, an event may name the topmost node only.
  await turn();
  const domain = domainWith(backend);
  domain.reconciler.xenstoreChanged('backend/vif');
  await domain.reconciler.begin(first);
  await domain.settle();
  expect(bridgesIn(domain)).toEqual(['xenbr0', undefined, undefined, undefined]);
  expect(await domain.status(late)).toMatchObject({ state: 'waiting' });
});
