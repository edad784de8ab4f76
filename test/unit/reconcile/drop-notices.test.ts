import { expect, test } from 'vitest';
import { dropCure } from '../../../src/model/drop-cures.js';
import { countingSets, dropReasons } from '../../../src/model/nft.js';
import { DriverDomain } from '../../fake/driver-domain.js';

const vif = { domid: 5, devid: 0 };
const minute = 60_000;

/** The lines about packets that were dropped. */
const told = (domain: DriverDomain): unknown[] =>
  domain.journal
    .filter(({ msg }) => msg === 'vif has packets dropped')
    .map(({ vif: name, reason, packets }) => [name, reason, packets]);

test('the first packet that a vif loses for a reason is told once, within a minute', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(vif, { ip: '10.0.5.1' });
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 0, 'IPv6 without an address': 2 });
  expect(told(domain)).toEqual([]);
  await domain.pass(minute);
  expect(told(domain)).toEqual([['vif5.0', 'IPv6 without an address', 2]]);
  expect(domain.journal.find(({ reason }) => reason !== undefined)).toMatchObject({
    domid: 5,
    devid: 0,
    cure: 'the guest speaks IPv6 and its ip key has IPv4 only: add its IPv6 address to ip=, if it is to have IPv6',
  });
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 1, 'IPv6 without an address': 9 });
  await domain.pass(3 * minute);
  expect(told(domain).slice(1)).toEqual([['vif5.0', 'IPv4 source', 1]]);
});

test('what was dropped before the daemon started is not told again, and what the first vifs lose at once is', async () => {
  const domain = new DriverDomain();
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 4 });
  await domain.birth(vif, { ip: '10.0.5.1' });
  await domain.start();
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 5, 'VLAN tag': 1 });
  await domain.pass(minute);
  expect(told(domain)).toEqual([['vif5.0', 'VLAN tag', 1]]);
});

test('a vif whose filter was made anew is told of again', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(vif, { ip: '10.0.5.1' });
  for (const count of [1, 0, 1]) {
    domain.host.dropped.set('vif5.0', { 'DHCP server': count });
    await domain.pass(minute);
  }
  expect(told(domain)).toHaveLength(2);
});

test('counters that cannot be read are read again a minute later, and nothing that was known is told again', async () => {
  const domain = new DriverDomain();
  await domain.start();
  await domain.birth(vif, { ip: '10.0.5.1' });
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 1 });
  await domain.pass(minute);
  domain.host.dropped.set('vif5.0', { 'IPv4 source': 2, 'VLAN tag': 1 });
  domain.host.failCall('drops', new Error('No buffer space available'), 1);
  await domain.pass(minute);
  expect(domain.journal.filter(({ msg }) => msg === 'drops not read')).toMatchObject([
    { err: { message: 'No buffer space available' } },
  ]);
  expect(told(domain)).toHaveLength(1);
  await domain.pass(minute);
  expect(told(domain).slice(1)).toEqual([['vif5.0', 'VLAN tag', 1]]);
});

test('each cure is of a reason that there is, and each reason that an honest guest meets has one', () => {
  const reasons = [...dropReasons.slice(1), ...Object.values(countingSets)];
  const forged = reasons.filter((reason) => dropCure(reason) === undefined);
  // Only a guest that means it, or is broken, loses these.
  expect(forged).toMatchInlineSnapshot(`
    [
      "EtherType",
      "malformed ARP",
      "malformed IPv4",
      "DHCP server",
      "router advertisement or redirect",
      "malformed IPv6",
      "ICMPv6 type",
      "IPv6 fragment",
      "multicast router",
      "DHCP client",
      "IPv6 protocol",
      "multicast report",
      "address of a guest",
      "the driver domain itself",
    ]
  `);
});
