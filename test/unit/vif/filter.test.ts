import { expect, it } from 'vitest';
import { type Network, parseNetwork } from '../../../src/vif/address.js';
import { type FilterSpec, filterFor, linkLocalOf, ranges } from '../../../src/vif/filter.js';
import { planFilter } from '../../../src/vif/filter-plan.js';
import { ingressRules } from '../../../src/vif/filter-rules.js';
import { type FilterView, renderFilter, routerState } from '../../../src/vif/nft.js';
import { type Link, linkView } from '../../../src/vif/observed.js';
import { type Action, isolate, plan } from '../../../src/vif/plan.js';
import { printAction } from '../../../src/vif/print.js';
import { snapshot } from '../../../src/vif/snapshot.js';

const id = { domid: 5, devid: 0 };
const networks = (text: string): Network[] => text.split(' ').map((item) => parseNetwork(item) as Network);
const spec = (text = '10.0.0.5', more: Partial<FilterSpec> = {}): FilterSpec => ({
  mac: '00:16:3e:00:05:00',
  networks: networks(text),
  tagged: false,
  reverse: false,
  protectHost: undefined,
  ...more,
});
const keys = (more: Record<string, string>) =>
  snapshot(id, new Map(Object.entries({ script: 'vif-bridge', online: '1', ...more })));
const netdev: Link = {
  index: 12,
  name: 'vif5.0',
  alias: undefined,
  parent: undefined,
  kind: undefined,
  mac: 'fe:ff:ff:ff:ff:ff',
  mtu: 1500,
  up: false,
  master: undefined,
  addresses: [],
};
const bridge: Link = { ...netdev, index: 3, name: 'xenbr0', kind: 'bridge', up: true };
const installed = (of: FilterSpec | undefined, device = 'vif5.0', index = 12): FilterView => ({
  chains: (vif) => (of && vif === 'vif5.0' ? [renderFilter(id, { index, name: device }, of)] : []),
  elements: (vif) => (of && vif === 'vif5.0' ? renderFilter(id, { index, name: device }, of).elements : []),
  router: routerState,
});
const desired = (filter: FilterSpec | undefined, name = 'vif5.0') => ({
  name,
  link: { mac: netdev.mac, mtu: undefined, master: 'xenbr0', addresses: [] },
  filter,
});
const shape = (actions: Action[]): string[] =>
  actions.map((action) => (action.kind === 'filter' ? 'filter' : printAction(action)));

it('makes ranges of networks, without those inside of others, and host bits dropped', () => {
  expect(ranges(networks('10.0.1.7/24 10.0.0.5 10.0.1.9 10.0.1.0/25 2001:db8::/64'), 4)).toEqual([
    { first: 0x0a000005n, last: 0x0a000005n },
    { first: 0x0a000100n, last: 0x0a0001ffn },
  ]);
  expect(ranges(networks('0.0.0.0/0 10.0.0.1'), 4)).toEqual([{ first: 0n, last: 0xffffffffn }]);
});

it('derives the link-local address from the MAC', () => {
  expect(linkLocalOf('00:16:3e:0a:05:00').address).toBe('fe80::0216:3eff:fe0a:0500');
});

it('holds a vif by mode', () => {
  const filter = (mode: 'auto' | 'strict' | 'off', more: Record<string, string>) =>
    filterFor(keys(more), { antispoof: { mode } });
  const mac = '00:16:3e:00:05:00';
  expect(filter('auto', { mac })).toEqual({ filter: undefined });
  expect(filter('off', { mac, ip: '10.0.0.5' })).toEqual({ filter: undefined });
  expect(filter('auto', { mac, ip: '10.0.0.5' })).toEqual({ filter: spec() });
  expect(filter('strict', { mac, ip: '10.0.0.5' })).toEqual({ filter: spec() });
  expect(filter('strict', { mac })).toHaveProperty('problem.target', 'its addresses');
  expect(filter('auto', { ip: '10.0.0.5' })).toHaveProperty('problem.target', 'its MAC address');
});

it('drops a family of which there is no address', () => {
  const reasons = (text: string) => ingressRules(spec(text)).map(({ reason }) => reason);
  expect(reasons('10.0.0.5')).toContain('IPv6 without an address');
  expect(reasons('2001:db8::1')).toContain('IPv4 without an address');
  expect(reasons('10.0.0.5 2001:db8::1').join()).not.toContain('without an address');
});

it('puts addresses into nft text as single values, ranges and numbers', () => {
  const matches = ingressRules(spec('10.0.0.5 10.0.1.0/24 2001:db8::1')).map(({ match }) => match);
  expect(matches).toContain('ip saddr != 10.0.0.5 ip saddr != 10.0.1.0-10.0.1.255');
  expect(matches).toContain('ip6 saddr != 2001:db8::1 ip6 saddr != fe80::216:3eff:fe00:500');
  expect(matches.join('\n')).toContain('@th,64,128 != 0x20010db8000000000000000000000001');
  const many = Array.from({ length: 17 }, (_, i) => `10.0.${i}.1`).join(' ');
  expect(
    ingressRules(spec(many))
      .map(({ match }) => match)
      .join('\n'),
  ).toMatch(/ip saddr != \{ (10\.0\.\d+\.1(, )?){17} \}/);
  expect(ingressRules(spec()).map(({ reason }) => reason)).toContain('VLAN tag');
  expect(ingressRules(spec('10.0.0.5', { tagged: true })).map(({ reason }) => reason)).not.toContain(
    'VLAN tag',
  );
});

it('filters before the link is up, and after it has its name', () => {
  const links = linkView([netdev, bridge]);
  expect(shape(plan(id, desired(spec()), { links }))).toEqual([
    'filter',
    'ip link set dev vif5.0 master xenbr0 up',
  ]);
  expect(shape(plan(id, desired(spec(), 'web0'), { links }))).toEqual([
    'ip link set dev vif5.0 name web0 alias vif5.0',
    'filter',
    'ip link set dev web0 master xenbr0 up',
  ]);
});

it('plans nothing for a filter that is as desired', () => {
  const links = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  const routed = spec('10.0.0.5', { reverse: true, protectHost: { dhcp: true, dns: false } });
  for (const filter of [spec(), routed]) {
    expect(plan(id, desired(filter), { links, filters: installed(filter) })).toEqual([]);
  }
});

it('changes the rules in place while the device is the same, and makes the chain anew for another', () => {
  const text = (filters: FilterView) =>
    planFilter(id, netdev, spec('10.0.0.6'), filters)?.commands.join('\n') ?? '';
  expect(text(installed(spec()))).not.toContain('delete chain');
  expect(text(installed(spec('10.0.0.6'), 'web0'))).toContain('delete chain netdev vifd vif5.0_12');
  expect(text(installed(spec('10.0.0.6'), 'vif5.0', 7))).toContain('delete chain netdev vifd vif5.0_7');
});

it('removes the filter after the link is down, and that of a netdev that is gone', () => {
  const filters = installed(spec('10.0.0.5', { reverse: true }));
  const up = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  expect(shape(plan(id, undefined, { links: up, filters }))).toEqual([
    'ip link set dev vif5.0 nomaster down',
    'filter',
  ]);
  const [action] = plan(id, undefined, { links: linkView([bridge]), filters });
  expect(action).toEqual({
    kind: 'filter',
    commands: [
      'add table netdev vifd',
      'add chain netdev vifd vif5.0_12',
      'flush chain netdev vifd vif5.0_12',
      'delete chain netdev vifd vif5.0_12',
      'delete element inet vifd reverse { 12 }',
    ],
  });
});

it('takes a link off the network whose filter is missing', () => {
  const links = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  expect(shape(isolate(id, spec(), { links }))).toEqual(['ip link set dev vif5.0 nomaster down']);
  expect(isolate(id, spec(), { links, filters: installed(spec()) })).toEqual([]);
  expect(isolate(id, undefined, { links })).toEqual([]);
});

it('prints a transaction as its chain and the number of its rules', () => {
  const action = planFilter(id, netdev, spec(), undefined) as Action;
  expect(printAction(action)).toMatch(
    /^nft 'add chain netdev vifd vif5\.0_12 \{ type filter hook ingress device "vif5\.0" .*\}' and \d+ rules$/,
  );
});
