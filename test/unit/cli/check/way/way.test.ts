import { expect, test } from 'vitest';
import type { IpLink, Trip, WayFacts } from '../../../../../src/cli/check/way/facts.js';
import { judgeWay } from '../../../../../src/cli/check/way/way.js';
import { snapshot } from '../../../../../src/model/snapshot.js';
import type { Verdict } from '../../../../../src/model/verdict.js';
import { parseRuleset } from '../../../../../src/nft/walk/ruleset.js';
import type { Step } from '../../../../../src/reconcile/next.js';

// The stages of which test/integration/cli/check-vif.test.ts has no fault, because this kernel or a namespace cannot have it.

const id = { domid: 5, devid: 0 };
const mac = '00:16:3e:00:05:00';

const link = (ifindex: number, ifname: string, more: Partial<IpLink> = {}): IpLink => ({
  ifindex,
  ifname,
  flags: ['UP', 'LOWER_UP'],
  mtu: 1500,
  operstate: 'UP',
  ...more,
});
const bridge = (data: object = {}): IpLink =>
  link(2, 'xenbr0', { linkinfo: { info_kind: 'bridge', info_data: data } });
const port = (ifindex: number, ifname: string, data: object = {}): IpLink =>
  link(ifindex, ifname, {
    master: 'xenbr0',
    linkinfo: { info_slave_data: { state: 'forwarding', ...data } },
  });

const attached = (topology: string, desired: object = {}): Step => {
  const verdict = {
    kind: 'attach',
    topology,
    desired: { name: 'vif5.0', link: {}, ...desired },
    dependsOn: [],
    missing: [],
  };
  return { kind: 'attached', verdict, link: {}, missing: [] } as unknown as Step;
};

const trip: Trip = {
  family: 4,
  guest: '10.0.5.1',
  target: '1.1.1.1',
  out: { dev: 'eth0', gateway: '192.0.2.254' },
  own: { dev: 'eth0', gateway: '192.0.2.254' },
  toGuest: { dev: 'vif5.0' },
  back: { dev: 'vif5.0' },
  nextHop: 'REACHABLE',
};
const none = parseRuleset('{"nftables": []}', '');
const sysctls = (values: Record<string, string>) => (name: string) => values[name];

/** A vif on a bridge with an uplink, whose way is well. */
const bridged: WayFacts = {
  id,
  snapshot: snapshot(
    id,
    new Map([
      ['script', '/etc/xen/scripts/vif-bridge'],
      ['mac', mac],
      ['online', '1'],
      ['hotplug-status', 'connected'],
    ]),
  ),
  step: attached('bridge'),
  vifdRuns: true,
  links: [bridge(), port(3, 'eth1'), port(5, 'vif5.0'), port(6, 'vif6.0')],
  ingress: [],
  tc: [],
  vifs: new Set(['vif5.0', 'vif6.0']),
  sent: 7,
  drops: {},
  meanwhile: { sent: 3, drops: {} },
  vlans: new Map(),
  fdb: [{ mac, ifname: 'vif5.0' }],
  neighbours: new Map(),
  trips: [],
  sysctl: sysctls({}),
  ruleset: none,
  unreadLegacy: [],
  switch: undefined,
  dhcpServer: 'ours',
  dhcpWanted: false,
  advertises: false,
  servesNames: false,
  resolvers: ['192.0.2.53'],
};
/** A vif that is routed, whose way is well. */
const routed: WayFacts = {
  ...bridged,
  step: attached('route'),
  links: [link(2, 'eth0'), link(5, 'vif5.0')],
  trips: [trip],
};
const switched: WayFacts = {
  ...bridged,
  step: attached('openvswitch'),
  links: [link(5, 'vif5.0')],
  switch: {
    bridge: 'ovsbr0',
    port: 'vif5.0',
    failMode: '',
    controllers: new Map(),
    tag: 10,
    trunks: [],
    ports: new Map([
      ['vif5.0', { type: '', error: '', link: 'up' }],
      ['eth2', { type: '', error: '', link: 'up' }],
    ]),
    trace: ['eth2', 'ovsbr0'],
  },
};

/** The findings that are not well, as `severity stage: message`. */
const bad = (facts: WayFacts): string[] =>
  judgeWay(facts)
    .findings.filter(({ severity }) => severity !== 'ok')
    .map(({ severity, check, message, remedy }) => {
      expect(remedy).not.toBe('');
      return `${severity} ${check}: ${message}`;
    });

test.each([bridged, routed, switched])('a way that is well', (facts) => {
  expect(bad(facts)).toEqual([]);
  expect(judgeWay(facts).ends).toBeUndefined();
});

const filtering = [bridge({ vlan_filtering: 1 }), ...bridged.links.slice(1)];
const vlans = (own: readonly number[], uplink: readonly number[]) =>
  new Map([
    ['vif5.0', own.map((vid) => ({ vid, pvid: true }))],
    ['eth1', uplink.map((vid) => ({ vid, pvid: false }))],
  ]);
const full = sysctls({
  'net/netfilter/nf_conntrack_count': '1000',
  'net/netfilter/nf_conntrack_max': '1000',
});
const drops = (hook: string, policy = 'drop', family = 'ip') =>
  parseRuleset(
    JSON.stringify({
      nftables: [
        { chain: { family, table: 'filter', name: 'FORWARD', type: 'filter', hook, prio: 0, policy } },
      ],
    }),
    '',
  );
const refuse = {
  kind: 'refuse',
  problem: { message: 'attach vif5.0 to bridge xenbr1: no such bridge' },
  dependsOn: [],
} as unknown as Verdict;

/** A ruleset that masquerades one address out of eth0. */
const leaving = (address: string) =>
  parseRuleset(
    JSON.stringify({
      nftables: [
        {
          chain: {
            ...{ family: 'inet', table: 'vifd', name: 'leaving', hook: 'postrouting' },
            ...{ type: 'nat', prio: 100, policy: 'accept' },
          },
        },
        {
          rule: {
            ...{ family: 'inet', table: 'vifd', chain: 'leaving', handle: 1 },
            expr: [
              { match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: address } },
              { match: { op: '==', left: { meta: { key: 'oifname' } }, right: 'eth0' } },
              { masquerade: null },
            ],
          },
        },
      ],
    }),
    '',
  );

test("a drop by vifd's own rules has the remedy of its chain", () => {
  const own = (name: string, hook: string, comment = '') => {
    const at = { family: 'inet', table: 'vifd' };
    return parseRuleset(
      JSON.stringify({
        nftables: [
          { chain: { ...at, name, hook, type: 'filter', prio: 0, policy: 'accept' } },
          { rule: { ...at, chain: name, handle: 1, expr: [{ drop: null }] } },
        ],
      }),
      `table inet vifd {\n\tchain ${name} {\n\t\tdrop comment "${comment} #12345678" # handle 1\n`,
    );
  };
  const remedyOf = (name: string, hook: string, comment?: string) =>
    judgeWay({ ...routed, ruleset: own(name, hook, comment) }).ends?.remedy;
  expect(remedyOf('from_anywhere', 'prerouting')).toContain("a guest's address comes only from its own vif");
  expect(remedyOf('to_other_machines', 'forward')).toContain('vifd lets vif5.0 out by the device');
  const asked = (comment: string) => remedyOf('to_other_machines', 'forward', comment);
  expect(asked('private network')).toContain('take [[vif]] lan = false out');
  expect(asked('another group')).toContain('put both in one');
  expect(asked('no other way out')).toContain('vifd lets vif5.0 out by the device');
});

test.each<[string, WayFacts, string[]]>([
  [
    'no backend',
    { ...bridged, snapshot: undefined },
    ['error xenstore: this domain has no backend of vif5.0'],
  ],
  [
    'refused',
    { ...bridged, step: { kind: 'fail', verdict: refuse } as unknown as Step },
    ['error vifd: attach vif5.0 to bridge xenbr1: no such bridge'],
  ],
  [
    'in no VLAN',
    { ...bridged, links: filtering, vlans: vlans([], [1]) },
    ['error vlan: vif5.0 is in no VLAN of xenbr0'],
  ],
  [
    'a VLAN that the uplink has not',
    { ...bridged, links: filtering, vlans: vlans([10], [1, 20]) },
    ['error vlan: eth1, the way out of xenbr0, is in none of the VLANs of vif5.0 (10)'],
  ],
  ['a VLAN that the uplink has', { ...bridged, links: filtering, vlans: vlans([10], [1, 10]) }, []],
  [
    'a locked port',
    { ...bridged, links: [bridge(), port(3, 'eth1'), port(5, 'vif5.0', { locked: true })] },
    ['error bridge port: vif5.0 is locked: only known MAC addresses pass'],
  ],
  [
    'a loop, which the spanning tree has found',
    {
      ...bridged,
      links: [
        bridge({ stp_state: 1, forward_delay: 1500 }),
        port(3, 'eth1'),
        port(5, 'vif5.0', { state: 'blocking' }),
      ],
    },
    [
      'error bridge port: vif5.0 is blocking on xenbr0: the spanning tree has found another way to the same network by this port',
    ],
  ],
  [
    'a spanning tree that has let it through',
    {
      ...bridged,
      links: [bridge({ stp_state: 1, forward_delay: 1500 }), port(3, 'eth1'), port(5, 'vif5.0')],
    },
    ['warning stp: xenbr0 has STP on: each vif that joins it waits 30 s before a packet passes'],
  ],
  [
    'br_netfilter switched on for the one bridge',
    {
      ...bridged,
      links: [bridge({ nf_call_iptables: 1 }), ...bridged.links.slice(1)],
      ruleset: drops('forward'),
    },
    ['error firewall: ip filter FORWARD drops packets of the guest by its policy'],
  ],
  ['a forward chain that bridged frames do not pass', { ...bridged, ruleset: drops('forward') }, []],
  [
    'IPv6 of a guest that has none: no fault of its IPv4',
    {
      ...bridged,
      drops: { 'IPv6 without an address': 90 },
      meanwhile: { sent: 2, drops: { 'IPv6 without an address': 2 } },
    },
    ['note filter: anti-spoofing has dropped packets before: IPv6 without an address 90'],
  ],
  [
    'one spoofed packet of many',
    { ...bridged, drops: { 'IPv4 source': 1 }, meanwhile: { sent: 20, drops: { 'IPv4 source': 1 } } },
    ['warning filter: anti-spoofing drops what the guest sends right now: IPv4 source 1'],
  ],
  [
    'rules of iptables-legacy that cannot be read',
    { ...routed, unreadLegacy: ['ip'] },
    ['warning firewall: iptables-legacy has a filter table, which cannot be read'],
  ],
  [
    'a next hop that does not answer',
    { ...routed, trips: [{ ...trip, nextHop: 'FAILED' }] },
    ['error uplink: the next hop 192.0.2.254 does not answer at eth0'],
  ],
  [
    'a guest that does not answer',
    { ...routed, neighbours: new Map([['10.0.5.1', 'FAILED']]) },
    ['error neighbour: 10.0.5.1 does not answer at vif5.0: its neighbour entry is FAILED'],
  ],
  [
    'IPv6 that is not forwarded',
    {
      ...routed,
      sysctl: sysctls({ 'net/ipv6/conf/all/forwarding': '0' }),
      trips: [{ ...trip, family: 6, guest: '2001:db8::5', target: '2001:db8::1' }],
    },
    ['error forwarding: net/ipv6/conf/all/forwarding is 0: IPv6 that comes in there goes nowhere'],
  ],
  [
    'behind NAT, and nothing masquerades: only that is said',
    { ...routed, step: attached('nat'), trips: [{ ...trip, family: 4 }], ruleset: leaving('192.0.2.9') },
    ['error masquerade: 10.0.5.1 is not masqueraded out of eth0, so that no answer finds back'],
  ],
  ['behind NAT, masqueraded', { ...routed, step: attached('nat'), ruleset: leaving('10.0.5.1') }, []],
  [
    'tc drops what goes to the guest, and what is beside it does not matter',
    {
      ...bridged,
      tc: [
        { dev: 'vif5.0', kind: 'clsact', dropped: 9, meanwhile: 3 },
        { dev: 'vif6.0', kind: 'clsact', dropped: 9, meanwhile: 3 },
        { dev: 'eth1', kind: 'fq_codel', dropped: 7, meanwhile: 1 },
      ],
    },
    [
      'error tc: a filter of tc (clsact) drops frames at vif5.0 right now: 3 of them',
      'warning tc: the queue of fq_codel drops frames at eth1 right now: 1 of them',
    ],
  ],
  [
    'a full table of connections',
    { ...routed, sysctl: full },
    ['error conntrack: the table of connections is full: 1000 of 1000, so that new ones are dropped'],
  ],
  [
    'DHCPv6 that a filter of IPv6 drops',
    {
      ...routed,
      step: attached('nat'),
      trips: [{ ...trip, out: { refused: 'x' }, own: { refused: 'no route' } }],
      advertises: true,
      ruleset: drops('input', 'drop', 'ip6'),
    },
    [
      'error route: from 10.0.5.1 to 1.1.1.1: this domain itself has no way there (no route)',
      'error dhcp6: ip6 filter FORWARD drops DHCPv6 requests by its policy',
    ],
  ],
  [
    'no DHCP server, and no resolver to tell of',
    {
      ...routed,
      step: attached('nat'),
      trips: [{ ...trip, out: { refused: 'x' }, own: { refused: 'no route' } }],
      dhcpWanted: true,
      dhcpServer: undefined,
      resolvers: ['127.0.0.53'],
    },
    [
      'error route: from 10.0.5.1 to 1.1.1.1: this domain itself has no way there (no route)',
      'error dhcp: nothing listens on port 67',
      "warning resolver: DHCP has no resolver to tell guests of: 127.0.0.53 is this domain's own loopback",
    ],
  ],
  [
    "another program in the place of vifd's DHCP server; this domain asks a resolver of its own for its guests",
    {
      ...routed,
      step: attached('nat'),
      trips: [{ ...trip, out: { refused: 'x' }, own: { refused: 'no route' } }],
      dhcpWanted: true,
      dhcpServer: 'dhcpd (process 4)',
      servesNames: true,
      resolvers: ['127.0.0.53'],
    },
    [
      'error route: from 10.0.5.1 to 1.1.1.1: this domain itself has no way there (no route)',
      'error dhcp: dhcpd (process 4) has port 67 and knows no guest of vifd, whose server does not run',
    ],
  ],
  [
    'a controller that is not connected',
    {
      ...switched,
      switch: { ...switched.switch, controllers: new Map([['tcp:192.0.2.9:6653', false]]) } as NonNullable<
        WayFacts['switch']
      >,
    },
    ['warning controller: tcp:192.0.2.9:6653 of ovsbr0 is not connected'],
  ],
  [
    'a spanning tree of Open vSwitch that waits, at the vif and at the uplink',
    {
      ...switched,
      switch: {
        ...switched.switch,
        ports: new Map([
          ['vif5.0', { type: '', error: '', link: 'up', waiting: 'learning' }],
          ['eth2', { type: '', error: '', link: 'up', waiting: 'blocking' }],
        ]),
      } as NonNullable<WayFacts['switch']>,
    },
    [
      'error bridge port: vif5.0 is learning on ovsbr0: it waits for the spanning tree, as after each attach',
      'error bridge port: eth2 is blocking on ovsbr0: the spanning tree has found another way to the same network by this port',
    ],
  ],
  [
    'a port of Open vSwitch on standby, by which nothing is to come',
    {
      ...switched,
      switch: { ...switched.switch, onStandby: true, trace: [], trunks: [4095] } as unknown as NonNullable<
        WayFacts['switch']
      >,
    },
    [
      'note openvswitch: vif5.0 is sent nothing: the other vif of the same guest, of an emulated card or of its PV driver, has the traffic now',
    ],
  ],
])('%s', (_, facts, expected) => expect(bad(facts)).toEqual(expected));

test('the first error is where it ends, and the ones after it are told as well', () => {
  const facts: WayFacts = { ...routed, sysctl: full, trips: [{ ...trip, nextHop: 'FAILED' }] };
  expect(judgeWay(facts).ends?.check).toBe('uplink');
  expect(bad(facts)).toHaveLength(2);
});

test('what comes before the filter: XDP and tc, at this vif only', () => {
  const [first, uplink, , other] = bridged.links as [IpLink, IpLink, IpLink, IpLink];
  const own = port(5, 'vif5.0');
  const before = (facts: Partial<WayFacts>): string[] =>
    judgeWay({ ...bridged, ...facts })
      .findings.filter(({ check, severity }) => check === 'ingress' && severity === 'warning')
      .map(({ message, remedy }) => `${message} -> ${remedy}`);
  expect(before({})).toEqual([]);
  expect(before({ links: [first, uplink, own, { ...other, xdp: { mode: 2 } }] })).toEqual([]);
  expect(before({ links: [first, uplink, { ...own, xdp: { mode: 2 } }, other] })).toEqual([
    'an XDP program is on vif5.0, before everything else: what it passes on, drops or redirects, anti-spoofing has no say in' +
      ' -> ip link set dev vif5.0 xdpgeneric off; where that is refused a program holds it: bpftool net shows it',
  ]);
  const qdisc = { kind: 'clsact', hasFilters: true };
  expect(before({ ingress: [{ ...qdisc, dev: 'vif6.0' }] })).toEqual([]);
  expect(before({ ingress: [{ ...qdisc, dev: 'vif5.0' }] })).toEqual([
    'tc has filters at the ingress of vif5.0 (clsact), before anti-spoofing: they may drop frames, or send them by it' +
      ' -> tc filter show dev vif5.0 ingress shows them, and tc filter del dev vif5.0 ingress takes them off',
  ]);
  expect(before({ ingress: [{ dev: 'vif5.0', kind: 'ingress', hasFilters: false }] })).toEqual([
    'tc has ingress on vif5.0: a filter that is added at its ingress comes before anti-spoofing' +
      ' -> tc qdisc del dev vif5.0 ingress, unless it is for filters at egress',
  ]);
});
