import { expect, it } from 'vitest';
import { filterFor } from '../../../src/decide/antispoof.js';
import type { Action } from '../../../src/model/action.js';
import { linkLocalOf, type Network, parseNetwork } from '../../../src/model/address.js';
import type { FilterSpec } from '../../../src/model/filter.js';
import { elementId } from '../../../src/model/nft.js';
import { type Link, linkView } from '../../../src/model/observed.js';
import { snapshot } from '../../../src/model/snapshot.js';
import type { TopologyName } from '../../../src/model/topology-name.js';
import { nftCommands } from '../../../src/nft/commands.js';
import { filterElements } from '../../../src/nft/elements.js';
import { ranges } from '../../../src/nft/ranges.js';
import { planNft } from '../../../src/plan/nft.js';
import { isolate, plan } from '../../../src/plan/plan.js';
import { nameAction, printAction, printCommands } from '../../../src/plan/print/print.js';
import { link } from '../../fake/link.js';
import { NftMachine } from '../../fake/nft-machine.js';

const id = { domid: 5, devid: 0 };
const networks = (text: string): Network[] => text.split(' ').map((item) => parseNetwork(item) as Network);
const spec = (text = '10.0.0.5', more: Partial<FilterSpec> = {}): FilterSpec => ({
  hold: 'addresses',
  macs: ['00:16:3e:00:05:00'],
  controlFrames: false,
  networks: networks(text),
  tagged: false,
  reverse: false,
  protectHost: undefined,
  ...more,
});
const keys = (more: Record<string, string>) =>
  snapshot(id, new Map(Object.entries({ script: 'vif-bridge', online: '1', ...more })));
const netdev = link(12, 'vif5.0', { up: false });
const bridge: Link = { ...netdev, index: 3, name: 'xenbr0', kind: 'bridge', up: true };
const want = (filter: FilterSpec | undefined, masquerades: readonly string[] = []) => ({
  filter,
  masquerades: networks(masquerades.join(' ') || '192.0.2.1')
    .map((address) => ({ address, uplink: 'eth0' }))
    .slice(0, masquerades.length),
});
/** A machine on which these actions were performed, for `vif5.0` or another vif. */
function installed(of: FilterSpec, device = 'vif5.0', index = 12, nft = new NftMachine()): NftMachine {
  const { hold } = planNft(id, { index, name: device }, want(of), nft);
  if (hold) nft.perform(hold);
  return nft;
}
const elements = (text: string, more: Partial<FilterSpec> = {}): string[] =>
  filterElements('vif5.0', spec(text, more)).map(elementId);
const desired = (filter: FilterSpec | undefined, name = 'vif5.0') => ({
  name,
  link: { mac: netdev.mac, mtu: undefined, master: 'xenbr0', addresses: [] },
  filter,
});
const shape = (actions: Action[]): string[] =>
  actions.map((action) => (action.kind === 'nft' ? 'nft' : printAction(action)));

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
    filterFor(keys(more), { antispoof: { mode, controlFrames: false }, vifs: [] }, { topology: undefined });
  const mac = '00:16:3e:00:05:00';
  expect(filter('auto', { mac })).toEqual({ filter: undefined });
  expect(filter('off', { mac, ip: '10.0.0.5' })).toEqual({ filter: undefined });
  expect(filter('auto', { mac, ip: '10.0.0.5' })).toEqual({ filter: spec() });
  expect(filter('strict', { mac, ip: '10.0.0.5' })).toEqual({ filter: spec() });
  expect(filter('strict', { mac })).toHaveProperty('problem.target', 'its addresses');
  expect(filter('auto', { ip: '10.0.0.5' })).toHaveProperty('problem.target', 'its MAC address');
});

it('keeps control frames of a vif on a bridge from leaving, held or not, unless these may', () => {
  const of = (
    topology: TopologyName | undefined,
    controlFrames: boolean,
    own: boolean | undefined,
    ip?: string,
  ) =>
    filterFor(
      keys({ mac: '00:16:3e:00:05:00', ...(ip === undefined ? {} : { ip }) }),
      {
        antispoof: { mode: 'auto', controlFrames },
        vifs: own === undefined ? [] : [{ bridge: undefined, mac: undefined, controlFrames: own }],
      },
      { topology },
    );
  const floor = spec(undefined, { hold: 'nothing', macs: [], networks: [] });
  for (const topology of ['bridge', 'openvswitch'] as const) {
    expect(of(topology, false, undefined)).toEqual({ filter: floor });
    expect(of(topology, true, false)).toEqual({ filter: floor });
    expect(of(topology, true, undefined)).toEqual({ filter: undefined });
    expect(of(topology, false, true)).toEqual({ filter: undefined });
    expect(of(topology, true, undefined, '10.0.0.5')).toEqual({
      filter: spec('10.0.0.5', { controlFrames: true }),
    });
  }
  // What is routed is not bridged, and what a script of an operator's does is not known.
  expect(of('route', false, undefined)).toEqual({ filter: undefined });
  expect(of(undefined, false, undefined)).toEqual({ filter: undefined });
});

it('says a filter in elements, addresses as such and networks as such', () => {
  expect(elements('10.0.0.5 10.0.1.7/24')).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'speaks4 vif5.0',
    'hosts4 vif5.0 . 10.0.0.5',
    'networks4 vif5.0 . 10.0.1.0/24',
    'dhcp_hosts vif5.0 . 0x0a000005',
    'dhcp_networks vif5.0 . 0x0a000100-0x0a0001ff',
    'nd_macs vif5.0 . 0x00163e000500',
  ]);
  expect(elements('2001:db8::1 2001:db8:1::/64')).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'speaks6 vif5.0',
    'hosts6 vif5.0 . 2001:db8::1',
    'networks6 vif5.0 . 2001:db8:1::/64',
    'hosts6 vif5.0 . fe80::216:3eff:fe00:500',
    'nd_hosts vif5.0 . 0x20010db8000000000000000000000001',
    'nd_networks vif5.0 . 0x20010db8000100000000000000000000-0x20010db800010000ffffffffffffffff',
    'nd_hosts vif5.0 . 0xfe8000000000000002163efffe000500',
    'nd_macs vif5.0 . 0x00163e000500',
  ]);
  const protectHost = { by: 'vif' as const, dhcp: true, ports: [{ protocol: 'tcp' as const, port: 53 }] };
  expect(elements('10.0.0.5', { tagged: true, reverse: true, protectHost })).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'tagged vif5.0',
    'speaks4 vif5.0',
    'hosts4 vif5.0 . 10.0.0.5',
    'dhcp_hosts vif5.0 . 0x0a000005',
    'nd_macs vif5.0 . 0x00163e000500',
    'routed vif5.0',
    'confined vif5.0',
    'dhcp_clients vif5.0',
    'services vif5.0 . tcp . 53',
  ]);
});

it('filters before the link is up, and after it has its name', () => {
  const links = linkView([netdev, bridge]);
  expect(shape(plan(id, desired(spec()), { links }))).toEqual([
    'nft',
    'ip link set dev vif5.0 master xenbr0 up',
  ]);
  expect(shape(plan(id, desired(spec(), 'web0'), { links }))).toEqual([
    'ip link set dev vif5.0 name web0 alias vif5.0',
    'nft',
    'ip link set dev web0 master xenbr0 up',
  ]);
});

it('plans nothing for a filter that is as desired', () => {
  const links = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  const routed = spec('10.0.0.5', { reverse: true, protectHost: { by: 'vif', dhcp: true, ports: [] } });
  for (const filter of [spec(), routed]) {
    expect(plan(id, desired(filter), { links, nft: installed(filter) })).toEqual([]);
  }
});

/** The commands of the transaction that installs a filter, after the earlier ones. */
const holds = (filter: FilterSpec, nft: NftMachine, name = 'vif5.0', index = 12): string[] => {
  const { hold } = planNft(id, { index, name }, want(filter), nft);
  return hold === undefined ? [] : nftCommands(hold.changes);
};

it('changes elements in place while the device is the same, and makes the chain anew for another', () => {
  expect(holds(spec('10.0.0.6'), installed(spec()))).toEqual([
    'delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.5 }',
    'delete element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000005 }',
    'add element netdev vifd hosts4 { "vif5.0" . 10.0.0.6 comment "vif5.0" }',
    'add element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000006 comment "vif5.0" }',
  ]);
  expect(holds(spec(), installed(spec(), 'web0'))).toContain('delete chain netdev vifd vif5.0_12');
  expect(holds(spec(), installed(spec(), 'vif5.0', 7))).toContain('delete chain netdev vifd vif5.0_7');
  // The counters of the device that was replaced.
  expect(holds(spec(), installed(spec(), 'web0')).join()).toMatch(
    /delete element netdev vifd drops \{ "web0" \. 1,/,
  );
});

it('puts right what others have done to its own: a rule of its chain, the rules of all, an element', () => {
  const spoiled = installed(spec());
  spoiled.spoilChains();
  expect(holds(spec(), spoiled)).toEqual([
    expect.stringMatching(/^add chain netdev vifd vif5\.0_12 \{ type filter hook ingress device "vif5\.0" /),
    'flush chain netdev vifd vif5.0_12',
    'add chain netdev vifd vif5.0_12 { jump guest comment "vif5.0"; }',
  ]);
  const asleep = installed(spec());
  asleep.tables.set('netdev vifd', false);
  expect(holds(spec(), asleep)).toEqual(['table netdev vifd { … }']);
  const opened = installed(spec());
  opened.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.66'] }, '');
  expect(holds(spec(), opened)).toEqual(['delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.66 }']);
  // An element about another netdev is not this vif's.
  const elsewhere = installed(spec());
  elsewhere.add({ set: 'hosts4', key: ['eth0', '10.0.0.66'] }, '');
  expect(holds(spec(), elsewhere)).toEqual([]);
});

it('leaves a netdev no rights of a vif that had the name before', () => {
  const nft = installed(spec());
  nft.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.66'] }, 'vif6.0');
  expect(holds(spec(), nft)).toEqual(['delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.66 }']);
});

it('takes an element over that has the name of another vif', () => {
  const nft = installed(spec());
  nft.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.6'] }, 'vif6.0');
  expect(holds(spec('10.0.0.5 10.0.0.6'), nft)).toEqual([
    'delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.6 }',
    'add element netdev vifd hosts4 { "vif5.0" . 10.0.0.6 comment "vif5.0" }',
    'add element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000006 comment "vif5.0" }',
  ]);
});

it('masquerades before the link is up, and no longer after it is down', () => {
  const nft = new NftMachine();
  const nat = want(undefined, ['10.0.0.5']);
  const link = { index: 12, name: 'vif5.0' };
  const { hold, release } = planNft(id, link, nat, nft);
  expect(hold && nftCommands(hold.changes)).toEqual([
    'table inet vifd { … }',
    'add element inet vifd masqueraded4 { 10.0.0.5 . "eth0" comment "vif5.0" }',
  ]);
  expect(release).toBeUndefined();
  if (hold) nft.perform(hold);
  expect(planNft(id, link, nat, nft)).toEqual({ wake: undefined, hold: undefined, release: undefined });
  const gone = planNft(id, link, want(undefined), nft);
  expect(gone.hold).toBeUndefined();
  expect(gone.release && nftCommands(gone.release.changes)).toEqual(['delete table inet vifd']);
});

it('wakes the dormant tables that it needs, in a transaction before the others', () => {
  const nft = installed(spec('10.0.0.5', { reverse: true }));
  nft.asleep.add('netdev vifd').add('inet vifd');
  const own = planNft(id, { index: 12, name: 'vif5.0' }, want(spec('10.0.0.5')), nft);
  expect(own.wake && nftCommands(own.wake.changes)).toEqual(['add table netdev vifd']);
  expect(own.hold).toBeUndefined();
  const other = planNft({ domid: 6, devid: 0 }, { index: 13, name: 'vif6.0' }, want(spec('10.0.0.6')), nft);
  expect(other.wake?.changes).toEqual(own.wake?.changes);
  expect(other.hold).toBeDefined();
  if (own.wake) nft.perform(own.wake);
  expect(planNft(id, { index: 12, name: 'vif5.0' }, want(spec('10.0.0.5')), nft).wake).toBeUndefined();
  // A vif that goes wakes nothing.
  expect(planNft(id, undefined, want(undefined), nft).wake).toBeUndefined();
});

it('has a table go with the last vif in it, and not before', () => {
  const nft = installed(spec('10.0.0.5', { reverse: true }));
  const other = { domid: 6, devid: 0 };
  const { hold } = planNft(other, { index: 13, name: 'vif6.0' }, want(spec('10.0.0.6')), nft);
  if (hold) nft.perform(hold);
  const removal = (vif: typeof id) => {
    const { release } = planNft(vif, undefined, want(undefined), nft);
    if (release) nft.perform(release);
    return release ? nftCommands(release.changes).filter((command) => !command.includes(' drops ')) : [];
  };
  expect(removal(id)).toEqual([
    'add chain netdev vifd vif5.0_12',
    'flush chain netdev vifd vif5.0_12',
    'delete chain netdev vifd vif5.0_12',
    'delete element netdev vifd macs { "vif5.0" . 00:16:3e:00:05:00 }',
    'delete element netdev vifd speaks4 { "vif5.0" }',
    'delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.5 }',
    'delete element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000005 }',
    'delete element netdev vifd nd_macs { "vif5.0" . 0x00163e000500 }',
    'delete table inet vifd',
  ]);
  expect(removal(other)).toEqual(['delete table netdev vifd']);
  expect(removal(id)).toEqual([]);
});

it('lets addresses go from the table of an earlier release once they are in this one', () => {
  const nft = new NftMachine();
  nft.tables.set('inet vifd-nat', true);
  nft.add({ set: 'guests4', key: ['10.0.0.5', 'eth0'] }, 'vif5.0');
  nft.add({ set: 'guests4', key: ['10.0.0.6', 'eth0'] }, 'vif6.0');
  const step = (domid: number) => {
    const vif = { domid, devid: 0 };
    const link = { index: domid, name: `vif${domid}.0` };
    const { hold, release } = planNft(vif, link, want(undefined, [`10.0.0.${domid}`]), nft);
    for (const action of [hold, release]) if (action) nft.perform(action);
    return [hold, release].map((action) => (action ? nftCommands(action.changes) : []));
  };
  expect(step(5)).toEqual([
    ['table inet vifd { … }', 'add element inet vifd masqueraded4 { 10.0.0.5 . "eth0" comment "vif5.0" }'],
    ['delete element inet vifd-nat guests4 { 10.0.0.5 . "eth0" }'],
  ]);
  expect(step(6)).toEqual([
    ['add element inet vifd masqueraded4 { 10.0.0.6 . "eth0" comment "vif6.0" }'],
    ['delete table inet vifd-nat'],
  ]);
  expect(step(5)).toEqual([[], []]);
});

it('removes the filter after the link is down, and that of a netdev that is gone', () => {
  const nft = installed(spec('10.0.0.5', { reverse: true }));
  const up = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  expect(shape(plan(id, undefined, { links: up, nft }))).toEqual([
    'ip link set dev vif5.0 nomaster down',
    'nft',
  ]);
  expect(plan(id, undefined, { links: linkView([bridge]), nft }).map(printAction)).toEqual([
    "nft 'delete table netdev vifd; delete table inet vifd'",
  ]);
});

it('takes a link off the network whose filter is missing', () => {
  const links = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  expect(shape(isolate(id, spec(), { links }))).toEqual(['ip link set dev vif5.0 nomaster down']);
  expect(isolate(id, spec(), { links, nft: installed(spec()) })).toEqual([]);
  expect(isolate(id, undefined, { links })).toEqual([]);
});

it('names a transaction by its chain, and prints one with lines as the input of nft', () => {
  const links = linkView([netdev, bridge]);
  const [action] = plan(id, desired(spec()), { links, nft: new NftMachine() }) as [Action];
  expect(nameAction(action)).toMatch(
    /^nft 'add chain netdev vifd vif5\.0_12 \{ type filter hook ingress device "vif5\.0" .*\}' and 6 more$/,
  );
  const rules = 'flush chain netdev vifd guest\ntable netdev vifd {\n\tset macs\n}';
  const withRules: Action = {
    kind: 'nft',
    vif: 'vif5.0',
    changes: [{ change: 'set-rules', table: 'netdev vifd', rules }],
  };
  expect(printCommands(withRules, { ovsDatabase: '', dhcpDirectory: '' })).toBe(
    `nft -f - <<'END'\n${rules}\nEND`,
  );
  expect(printAction(withRules)).toBe("nft 'flush chain netdev vifd guest; table netdev vifd { … }'");
});
