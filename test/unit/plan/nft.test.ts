import { expect, it } from 'vitest';
import type { Action } from '../../../src/model/action.js';
import type { FilterSpec } from '../../../src/model/filter.js';
import { type Link, linkView } from '../../../src/model/observed.js';
import { nftCommands } from '../../../src/nft/commands.js';
import { planNft } from '../../../src/plan/nft.js';
import { isolate, plan } from '../../../src/plan/plan.js';
import { nameAction, printAction, printCommands } from '../../../src/plan/print/print.js';
import { filterSpec, networksIn } from '../../fake/filter.js';
import { link } from '../../fake/link.js';
import { NftMachine } from '../../fake/nft-machine.js';

const id = { domid: 5, devid: 0 };
const netdev = link(12, 'vif5.0', { up: false });
const bridge: Link = { ...netdev, index: 3, name: 'xenbr0', kind: 'bridge', up: true };
const want = (filter: FilterSpec | undefined, masquerades: readonly string[] = []) => ({
  filter,
  masquerades: networksIn(masquerades.join(' ') || '192.0.2.1')
    .map((address) => ({ address, uplink: 'eth0' }))
    .slice(0, masquerades.length),
});
/** A machine on which these actions were performed, for `vif5.0` or another vif. */
function installed(of: FilterSpec, device = 'vif5.0', index = 12, nft = new NftMachine()): NftMachine {
  const { hold } = planNft(id, { index, name: device }, want(of), nft);
  for (const action of hold) nft.perform(action);
  return nft;
}
const desired = (filter: FilterSpec | undefined, name = 'vif5.0') => ({
  name,
  link: { mac: netdev.mac, mtu: undefined, master: 'xenbr0', addresses: [] },
  filter,
});
const shape = (actions: Action[]): string[] =>
  actions.map((action) => (action.kind === 'nft' ? 'nft' : printAction(action)));

it('filters before the link is up, and after it has its name', () => {
  const links = linkView([netdev, bridge]);
  expect(shape(plan(id, desired(filterSpec()), { links }))).toEqual([
    'nft',
    'ip link set dev vif5.0 master xenbr0 up',
  ]);
  expect(shape(plan(id, desired(filterSpec(), 'web0'), { links }))).toEqual([
    'ip link set dev vif5.0 name web0 alias vif5.0',
    'nft',
    'ip link set dev web0 master xenbr0 up',
  ]);
});

it('plans nothing for a filter that is as desired', () => {
  const links = linkView([{ ...netdev, up: true, master: 3 }, bridge]);
  const routed = filterSpec('10.0.0.5', { reverse: true, protectHost: { by: 'vif', dhcp: true, ports: [] } });
  for (const filter of [filterSpec(), routed]) {
    expect(plan(id, desired(filter), { links, nft: installed(filter) })).toEqual([]);
  }
});

/** The commands of the transaction that installs a filter, after the earlier ones. */
const holds = (filter: FilterSpec, nft: NftMachine, name = 'vif5.0', index = 12): string[] => {
  const { hold } = planNft(id, { index, name }, want(filter), nft);
  return hold.flatMap(({ changes }) => nftCommands(changes));
};

it('changes elements in place while the device is the same, and makes the chain anew for another', () => {
  expect(holds(filterSpec('10.0.0.6'), installed(filterSpec()))).toEqual([
    'delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.5 }',
    'delete element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000005 }',
    'add element netdev vifd hosts4 { "vif5.0" . 10.0.0.6 comment "vif5.0" }',
    'add element netdev vifd dhcp_hosts { "vif5.0" . 0x0a000006 comment "vif5.0" }',
  ]);
  expect(holds(filterSpec(), installed(filterSpec(), 'web0'))).toContain(
    'delete chain netdev vifd vif5.0_12',
  );
  expect(holds(filterSpec(), installed(filterSpec(), 'vif5.0', 7))).toContain(
    'delete chain netdev vifd vif5.0_7',
  );
  // The counters of the device that was replaced.
  expect(holds(filterSpec(), installed(filterSpec(), 'web0')).join()).toMatch(
    /delete element netdev vifd drops \{ "web0" \. 1,/,
  );
});

it('puts right what others have done to its own: a rule of its chain, the rules of all, an element', () => {
  const spoiled = installed(filterSpec());
  spoiled.spoilChains();
  expect(holds(filterSpec(), spoiled)).toEqual([
    expect.stringMatching(/^add chain netdev vifd vif5\.0_12 \{ type filter hook ingress device "vif5\.0" /),
    'flush chain netdev vifd vif5.0_12',
    'add chain netdev vifd vif5.0_12 { jump guest comment "vif5.0"; }',
  ]);
  const asleep = installed(filterSpec());
  asleep.tables.set('netdev vifd', false);
  expect(holds(filterSpec(), asleep)).toEqual(['table netdev vifd { … }']);
  const opened = installed(filterSpec());
  opened.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.66'] }, '');
  expect(holds(filterSpec(), opened)).toEqual(['delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.66 }']);
  // An element about another netdev is not this vif's.
  const elsewhere = installed(filterSpec());
  elsewhere.add({ set: 'hosts4', key: ['eth0', '10.0.0.66'] }, '');
  expect(holds(filterSpec(), elsewhere)).toEqual([]);
});

it('has a vif speak from networks before it is held to them, and swaps one for another at once', () => {
  const nft = new NftMachine();
  const { hold } = planNft(id, { index: 12, name: 'vif5.0' }, want(filterSpec('10.0.1.0/24')), nft);
  expect(hold.map(({ changes }) => nftCommands(changes).map((command) => command.split(' {')[0]))).toEqual([
    ['table netdev vifd', 'add element netdev vifd networks4', 'add element netdev vifd dhcp_networks'],
    [
      'add element netdev vifd macs',
      'add element netdev vifd speaks4',
      'add element netdev vifd nd_macs',
      'add chain netdev vifd vif5.0_12',
      'flush chain netdev vifd vif5.0_12',
      'add chain netdev vifd vif5.0_12',
    ],
  ]);
  for (const action of hold) nft.perform(action);
  const other = planNft(id, { index: 12, name: 'vif5.0' }, want(filterSpec('10.0.0.0/16')), nft);
  expect(other.hold).toHaveLength(1);
});

it('leaves a netdev no rights of a vif that had the name before', () => {
  const nft = installed(filterSpec());
  nft.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.66'] }, 'vif6.0');
  expect(holds(filterSpec(), nft)).toEqual(['delete element netdev vifd hosts4 { "vif5.0" . 10.0.0.66 }']);
});

it('takes an element over that has the name of another vif', () => {
  const nft = installed(filterSpec());
  nft.add({ set: 'hosts4', key: ['vif5.0', '10.0.0.6'] }, 'vif6.0');
  expect(holds(filterSpec('10.0.0.5 10.0.0.6'), nft)).toEqual([
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
  expect(hold.flatMap(({ changes }) => nftCommands(changes))).toEqual([
    'table inet vifd { … }',
    'add element inet vifd masqueraded4 { 10.0.0.5 . "eth0" comment "vif5.0" }',
  ]);
  expect(release).toBeUndefined();
  for (const action of hold) nft.perform(action);
  expect(planNft(id, link, nat, nft)).toEqual({ wake: undefined, hold: [], release: undefined });
  const gone = planNft(id, link, want(undefined), nft);
  expect(gone.hold).toEqual([]);
  expect(gone.release && nftCommands(gone.release.changes)).toEqual(['delete table inet vifd']);
});

it('wakes the dormant tables that it needs, in a transaction before the others', () => {
  const nft = installed(filterSpec('10.0.0.5', { reverse: true }));
  nft.asleep.add('netdev vifd').add('inet vifd');
  const own = planNft(id, { index: 12, name: 'vif5.0' }, want(filterSpec('10.0.0.5')), nft);
  expect(own.wake && nftCommands(own.wake.changes)).toEqual(['add table netdev vifd']);
  expect(own.hold).toEqual([]);
  const other = planNft(
    { domid: 6, devid: 0 },
    { index: 13, name: 'vif6.0' },
    want(filterSpec('10.0.0.6')),
    nft,
  );
  expect(other.wake?.changes).toEqual(own.wake?.changes);
  expect(other.hold).not.toEqual([]);
  if (own.wake) nft.perform(own.wake);
  expect(planNft(id, { index: 12, name: 'vif5.0' }, want(filterSpec('10.0.0.5')), nft).wake).toBeUndefined();
  // A vif that goes wakes nothing.
  expect(planNft(id, undefined, want(undefined), nft).wake).toBeUndefined();
});

it('has a table go with the last vif in it, and not before', () => {
  const nft = installed(filterSpec('10.0.0.5', { reverse: true }));
  const other = { domid: 6, devid: 0 };
  const { hold } = planNft(other, { index: 13, name: 'vif6.0' }, want(filterSpec('10.0.0.6')), nft);
  for (const action of hold) nft.perform(action);
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
    const steps = [hold, release ? [release] : []];
    for (const action of steps.flat()) nft.perform(action);
    return steps.map((actions) => actions.flatMap(({ changes }) => nftCommands(changes)));
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
  const nft = installed(filterSpec('10.0.0.5', { reverse: true }));
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
  expect(shape(isolate(id, filterSpec(), { links }))).toEqual(['ip link set dev vif5.0 nomaster down']);
  expect(isolate(id, filterSpec(), { links, nft: installed(filterSpec()) })).toEqual([]);
  expect(isolate(id, undefined, { links })).toEqual([]);
});

it('names a transaction by its chain, and prints one with lines as the input of nft', () => {
  const links = linkView([netdev, bridge]);
  const [action] = plan(id, desired(filterSpec()), { links, nft: new NftMachine() }) as [Action];
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
