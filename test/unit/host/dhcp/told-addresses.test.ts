import { expect, test } from 'vitest';
import { ToldAddresses } from '../../../../src/host/dhcp/told-addresses.js';

const entry = (domid: number, addresses: string, mac = '00:16:3e:00:00:05'): string =>
  `${mac},tag:vif${domid}.0,${addresses},12h\ntag:vif${domid}.0,option:router,192.0.2.1\n`;
const another = '00:16:3e:00:00:06';

test.each<[string, string, boolean]>([
  ['an address of its own', entry(6, '192.0.2.6', another), false],
  ['the address of another MAC', entry(6, '192.0.2.5', another), true],
  ['that of its own MAC at another vif', entry(6, '192.0.2.5,web'), false],
  ['an IPv6 address that was another vif’s, with its MAC', entry(6, '[2001:db8::5]'), true],
  ['an IPv6 address of its own', entry(6, '192.0.2.5,[2001:db8::6]'), false],
])('a lease may be in the way of %s: %s', (_, next, mayRefuse) => {
  const told = new ToldAddresses([entry(5, '192.0.2.5,[2001:db8::5]')]);
  expect(told.mayRefuse(next)).toBe(mayRefuse);
});

test('a vif whose address another one was told of later has had it taken', () => {
  const [five, six] = [entry(5, '192.0.2.5'), entry(6, '192.0.2.5', another)];
  const told = new ToldAddresses([five, entry(7, '192.0.2.7')]);
  expect(told.isTaken(five)).toBe(false);
  told.note(six);
  expect([five, six, entry(7, '192.0.2.7'), ''].map((one) => told.isTaken(one))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
