import { expect, test } from 'vitest';
import { overruled } from '../../../../src/decide/topology/overruled.js';
import { parseNetwork } from '../../../../src/model/address.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import type { PlainIp, PlainRule } from '../../../fake/ip-machine.js';
import { Machine, plainLinks } from '../../../fake/machine.js';

/** What is said of a guest's route on a machine with these rules and tables. */
function said(rules: readonly PlainRule[], tables: PlainIp['tables'] = {}, to = '10.0.5.1'): string {
  const links = ['eth0', 'tun0', 'vif5.0'].map((name, i) => ({ name, index: i + 2, up: true }));
  const machine = new Machine({
    links: plainLinks(links),
    openvswitch: undefined,
    ip: { rules, tables },
    scripts: new Map(),
  });
  const vif = snapshot({ domid: 5, devid: 0 }, new Map());
  const network = parseNetwork(to);
  if (network === undefined) throw new Error(to);
  const found = overruled(vif, [network], ['eth0'], machine.observe());
  return found.map(({ message }) => message).join();
}

const everything = [{ to: '0.0.0.0/0', dev: 'tun0' }];
const tailscale: PlainRule[] = [
  { pref: 5210, fwmark: 0x80000, lookup: 254 },
  { pref: 5230, fwmark: 0x80000, lookup: 253 },
  { pref: 5250, fwmark: 0x80000, refuses: true },
  { pref: 5270, lookup: 52 },
];
const wireguard: PlainRule[] = [
  { pref: 32764, lookup: 254, suppress: 0 },
  { pref: 32765, not: true, fwmark: 51820, lookup: 51820 },
];

test.each<[string, readonly PlainRule[], PlainIp['tables'], string]>([
  [
    'an exit node of Tailscale',
    tailscale,
    { 52: everything },
    'pref 5270, table 52, goes before the main table and leads to tun0; to let them through: ip rule add pref 5269 to 10.0.5.1 lookup main',
  ],
  [
    'a network of a peer that has the guest',
    tailscale,
    { 52: [{ to: '10.0.0.0/16', dev: 'tun0' }] },
    'leads to tun0',
  ],
  ['strongSwan', [{ pref: 220, lookup: 220 }], { 220: everything }, 'pref 219 to 10.0.5.1'],
  ['a rule that refuses', [{ pref: 100, to: '10.0.0.0/8', refuses: true }], {}, 'pref 100 goes before'],
  [
    'a route that refuses',
    [{ pref: 100, lookup: 7 }],
    { 7: [{ to: '10.0.0.0/8', dev: 'unreachable' }] },
    'is refused',
  ],
  ['a mark that packets do not have, negated', wireguard.slice(1), { 51820: everything }, 'pref 32765'],
  [
    'what comes in by the way out',
    [{ pref: 100, iif: 'eth0', lookup: 7 }],
    { 7: everything },
    'that come in by eth0',
  ],
  ['what this domain sends', [{ pref: 100, iif: 'lo', lookup: 7 }], { 7: everything }, 'of this domain'],
  ['a jump over the main table', [{ pref: 100, goto: 32_767 }], {}, 'no rule has the main table asked'],
])('said: %s', (_, rules, tables, what) => {
  expect(said(rules, tables)).toContain(what);
});

test.each<[string, readonly PlainRule[], PlainIp['tables']]>([
  ['no rule of others', [], {}],
  ['peers of Tailscale alone', tailscale, { 52: [{ to: '100.64.0.0/10', dev: 'tun0' }] }],
  [
    'a network that Tailscale leaves out',
    tailscale,
    { 52: [...everything, { to: '10.0.0.0/8', dev: 'throw' }] },
  ],
  ['wg-quick, which asks the main table before', wireguard, { 51820: everything }],
  ['a table whose default route does not count', [{ pref: 100, lookup: 7, suppress: 0 }], { 7: everything }],
  ['another way in', [{ pref: 100, iif: 'tun0', lookup: 7 }], { 7: everything }],
  ['another destination', [{ pref: 100, to: '192.0.2.0/24', lookup: 7 }], { 7: everything }],
  ['some sources only', [{ pref: 100, from: '192.0.2.1', lookup: 7 }], { 7: everything }],
  ['some ports only', [{ pref: 100, asksMore: true, lookup: 7 }], { 7: everything }],
  [
    'the remedy',
    [
      { pref: 219, to: '10.0.5.1', lookup: 254 },
      { pref: 220, lookup: 220 },
    ],
    { 220: everything },
  ],
  [
    'a table that leads to the guest, too',
    [{ pref: 220, lookup: 220 }],
    { 220: [{ to: '10.0.5.1', dev: 'vif5.0' }] },
  ],
  ['a rule that does nothing', [{ pref: 100 }], {}],
])('not said: %s', (_, rules, tables) => {
  expect(said(rules, tables)).toBe('');
});

test('the remedy for IPv6 is a rule of IPv6, and a network is one that is in the other', () => {
  const tables = {
    220: [
      { to: '2000::/3', dev: 'tun0' },
      { to: '0.0.0.0/0', dev: 'tun0' },
    ],
  };
  expect(said([{ pref: 220, lookup: 220 }], tables, '2001:db8::5')).toContain(
    'ip -6 rule add pref 219 to 2001:db8::5 lookup main',
  );
  expect(said([{ pref: 220, lookup: 220 }], tables, '192.0.2.0/28')).toContain('pref 219 to 192.0.2.0/28');
  expect(said([{ pref: 9, to: '192.0.2.1', lookup: 220 }], tables, '192.0.2.0/28')).toBe('');
});
