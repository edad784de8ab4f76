import { expect, test } from 'vitest';
import { isCovered, memberValues } from '../../../src/model/named-set.js';
import { memberCommand } from '../../../src/nft/member-command.js';
import { parseNamedSet } from '../../../src/nft/named-set.js';

const listed = (set: object) => JSON.stringify({ nftables: [{ metainfo: {} }, { set }] });

test('a set as nft lists it', () => {
  const elem = [
    { prefix: { addr: '10.0.0.0', len: 24 } },
    { range: ['10.1.0.1', '10.1.0.9'] },
    { elem: { val: '10.2.0.5', comment: 'vifd vif5.0' } },
    { elem: { val: '10.2.0.6', comment: 'of mine: vifd vif5.0' } },
    '10.2.0.7',
  ];
  expect(parseNamedSet(listed({ type: 'ipv4_addr', flags: ['interval'], elem }))).toEqual({
    type: 'ipv4_addr',
    intervals: true,
    elements: [
      { value: '10.0.0.0/24' },
      { value: '10.1.0.1-10.1.0.9' },
      { value: '10.2.0.5', owner: 'vif5.0' },
      { value: '10.2.0.6' },
      { value: '10.2.0.7' },
    ],
  });
  expect(parseNamedSet(listed({ type: 'ifname' }))).toEqual({
    type: 'ifname',
    intervals: false,
    elements: [],
  });
});

test.each([
  [{ meta: { key: 'oifname' } }, 'ifname'],
  [{ payload: { protocol: 'ip', field: 'saddr' } }, 'ipv4_addr'],
  [{ payload: { protocol: 'ip6', field: 'daddr' } }, 'ipv6_addr'],
  [{ payload: { protocol: 'ether', field: 'saddr' } }, 'ether_addr'],
])('a set of typeof %j', (of, type) => {
  expect(parseNamedSet(listed({ type: { typeof: of } }))).toMatchObject({ type });
});

test.each([
  [{ type: ['ifname', 'ipv4_addr'] }, 'another type'],
  [{ type: { typeof: { payload: { protocol: 'tcp', field: 'dport' } } } }, 'another type'],
  [{ type: 'ipv4_addr', flags: ['timeout'], timeout: 60 }, 'timeout'],
  [{ type: 'ipv4_addr', flags: 'interval', 'auto-merge': true }, 'auto-merge'],
  [{ type: 'ifname', flags: ['constant'] }, 'constant'],
])('%j is not for vifs', (set, reason) => {
  expect(parseNamedSet(listed(set))).toEqual({ reason: expect.stringContaining(reason) });
});

test.each([
  ['vif5.0', ['vif5.0'], true],
  ['vif5.0', ['vif*'], true],
  ['web', ['vif*', 'we'], false],
  ['10.0.0.5', ['10.0.0.0/24'], true],
  ['10.0.0.0/25', ['10.0.0.0/24'], true],
  ['10.0.0.0/23', ['10.0.0.0/24'], false],
  ['10.1.0.9', ['10.1.0.1-10.1.0.9'], true],
  ['10.1.0.10', ['10.1.0.1-10.1.0.9'], false],
  ['10.1.0.8/31', ['10.1.0.1-10.1.0.9'], true],
  ['10.1.0.8/30', ['10.1.0.1-10.1.0.9'], false],
  ['fd00::5', ['10.0.0.0/8', 'fd00::/64'], true],
  ['fd00::5', ['fd00::1-fd00::4'], false],
])('that %s is in %j is %s', (value, elements, isIn) => {
  expect(
    isCovered(
      value,
      elements.map((one) => ({ value: one })),
    ),
  ).toBe(isIn);
});

test('what a vif is in a set of each type, and the command', () => {
  const vif = {
    mac: '00:16:3e:00:00:05',
    addresses: [
      { family: 4, address: '10.0.0.5', prefix: 32 },
      { family: 4, address: '10.0.6.0', prefix: 24 },
      { family: 6, address: 'fd00::5', prefix: 128 },
    ],
  } as const;
  const of = (type: Parameters<typeof memberValues>[0]['type'], intervals = false, device = 'vif5.0') =>
    memberValues({ type, intervals }, vif, device);
  expect(of('ifname')).toEqual(['vif5.0']);
  expect(of('ifname', false, 'a"b')).toEqual([]);
  expect(of('ether_addr')).toEqual([vif.mac]);
  expect(of('ipv4_addr')).toEqual(['10.0.0.5']);
  expect(of('ipv4_addr', true)).toEqual(['10.0.0.5', '10.0.6.0/24']);
  expect(of('ipv6_addr')).toEqual(['fd00::5']);
  const action = { kind: 'add-to-set', vif: 'vif5.0', set: 'inet filter web' } as const;
  expect(memberCommand({ ...action, values: ['web', '10.0.6.0/24', vif.mac] })).toBe(
    'add element inet filter web { "web" comment "vifd vif5.0", 10.0.6.0/24 comment "vifd vif5.0", 00:16:3e:00:00:05 comment "vifd vif5.0" }',
  );
});
