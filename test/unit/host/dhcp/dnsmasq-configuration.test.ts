import { expect, test } from 'vitest';
import { configurationFor, covers, needsOf } from '../../../../src/host/dhcp/dnsmasq-configuration.js';
import { dhcpEntry } from '../../../../src/model/dhcp-entry.js';

const entry = (domid: number, v6: string[], device = `vif${domid}.0`): string =>
  dhcpEntry({
    vif: `vif${domid}.0`,
    device,
    mac: `00:16:3e:00:00:0${domid}`,
    v4: undefined,
    v6: { guests: v6.map((address) => ({ family: 6, address, prefix: 128 })), dns: [] },
    ntp: [],
    hostname: undefined,
    domain: undefined,
    mtu: undefined,
  });

const v4Only = dhcpEntry({
  vif: 'vif4.0',
  device: 'vif4.0',
  mac: '00:16:3e:00:00:04',
  v4: {
    guest: { family: 4, address: '192.0.2.4', prefix: 32 },
    router: '192.0.2.1',
    dns: [],
    servesNames: false,
  },
  v6: undefined,
  ntp: [],
  hostname: undefined,
  domain: undefined,
  mtu: undefined,
});

const linesFor = (entries: string[]): string[] =>
  configurationFor(needsOf(entries), { hosts: '/hosts', options: '/options' }, false).split('\n');

test('without IPv6 nothing is advertised', () => {
  expect(linesFor([v4Only]).filter((line) => /ra|duid|shared|::/.test(line))).toEqual([
    'dhcp-range=1.0.0.0,static,128.0.0.0',
    'dhcp-range=128.0.0.0,static,128.0.0.0',
  ]);
});

test('a vif in a network that others are in changes nothing, one in another adds that', () => {
  const [five, six] = [entry(5, ['2001:db8::5', '2001:db8:1::5']), entry(6, ['2001:db8::6'])];
  const before = linesFor([v4Only, five]);
  expect(linesFor([v4Only, five, six])).toEqual(before);
  const after = linesFor([v4Only, five, six, entry(7, ['2001:db8:2::7'])]);
  expect(after.filter((line) => !before.includes(line))).toEqual([
    'dhcp-range=2001:db8:2::,static,64,12h',
    'shared-network=fd76:6966:ffff::1,2001:db8:2::',
  ]);
});

test('a device by vifname has patterns of its own', () => {
  const before = linesFor([entry(5, ['2001:db8::5'])]);
  const after = linesFor([entry(5, ['2001:db8::5']), entry(6, ['2001:db8::6'], 'web')]);
  expect(after.filter((line) => !before.includes(line))).toEqual([
    'interface=web',
    'dhcp-range=::,static,constructor:web,64,12h',
    'ra-param=web,600,9000',
  ]);
});

test('what is served is asked of one entry, however many there are', () => {
  const served = needsOf([v4Only, entry(5, ['2001:db8::5']), entry(6, ['2001:db8::6'], 'web')]);
  expect(covers(served, needsOf([entry(7, ['2001:db8::7'])]))).toBe(true);
  expect(covers(served, needsOf([entry(7, ['2001:db8::7'], 'web')]))).toBe(true);
  expect(covers(served, needsOf([entry(7, ['2001:db8:1::7'])]))).toBe(false);
  expect(covers(served, needsOf([entry(7, ['2001:db8::7'], 'mail')]))).toBe(false);
});
