import { expect, test } from 'vitest';
import { obstacles } from '../../../src/decide/obstacles.js';
import type { BridgePort } from '../../../src/model/bridge-port.js';
import type { DesiredState } from '../../../src/model/desired.js';
import { noIp } from '../../../src/model/ip.js';
import { type Link, linkView, type ObservedState } from '../../../src/model/observed.js';
import { firewallView } from '../../../src/nft/walk/firewall.js';
import { parseRuleset } from '../../../src/nft/walk/ruleset.js';
import { link } from '../../fake/link.js';
import { OvsMachine } from '../../fake/openvswitch-machine.js';

const id = { domid: 5, devid: 0 };
const address = { family: 4, address: '10.0.5.1', prefix: 32 } as const;
const address6 = { family: 6, address: '2001:db8::5', prefix: 128 } as const;

const port = { isolated: false, multicastFlood: true, broadcastFlood: true, vlans: [] };

const none: DesiredState = {
  name: 'vif5.0',
  link: { mac: '', mtu: undefined, master: null, addresses: [] },
};
const onBridge: DesiredState = { ...none, link: { ...none.link, master: 'xenbr0' } };
const routed: DesiredState = {
  ...none,
  ip: {
    routes: [address, address6].map((to) => ({ to, source: undefined })),
    neighbours: [],
    mac: undefined,
    proxies: undefined,
    sysctls: [],
    masquerades: [],
    forwards: { out: ['eth0', 'gone0'], in: [], bound: false, tracked: true },
    dhcp: '00:16:3e:00:00:05,tag:vif5.0,192.0.2.5,12h\ntag:vif5.0,option:router,192.0.2.1\n',
  },
};

const onSwitch: DesiredState = {
  ...none,
  ovsPort: { bridge: 'ovsbr0', tag: undefined, trunks: [], vlanMode: undefined, externalIds: {} },
};

/** A bridge of Open vSwitch whose spanning tree lets the vif's port do this. */
const switching = (waiting?: 'listening' | 'blocking'): ObservedState =>
  observed({
    openvswitch: new OvsMachine({
      state: 'known',
      bridges: [{ name: 'ovsbr0' }],
      ports: [{ name: 'vif5.0', bridge: 'ovsbr0', ...(waiting === undefined ? {} : { waiting }) }],
    }),
  });

/** The vif's port like this, on a bridge like this. */
const onPort = (own: Partial<BridgePort>, bridge: Partial<Link> = {}): ObservedState =>
  observed({
    links: linkView([
      link(2, 'xenbr0', { kind: 'bridge', ...bridge }),
      link(5, 'vif5.0', { master: 2, port: { ...port, ...own } }),
    ]),
  });

/** The same with other ways out. */
const by = (out: readonly string[]): DesiredState =>
  routed.ip === undefined
    ? routed
    : { ...routed, ip: { ...routed.ip, forwards: { out, in: [], bound: false, tracked: true } } };

/** The same with DHCPv6, and no lease of IPv4. */
const by6: DesiredState =
  routed.ip === undefined
    ? routed
    : { ...routed, ip: { ...routed.ip, dhcp: '00:16:3e:00:00:05,tag:vif5.0,[2001:db8::5],12h\n' } };

/** A base chain of this hook that drops everything. */
const wall = (family: string, hook: string, name: string) =>
  firewallView(
    parseRuleset(
      JSON.stringify({
        nftables: [
          { chain: { family, table: 'filter', name, type: 'filter', hook, prio: 0, policy: 'drop' } },
        ],
      }),
      '',
    ),
  );

const observed = (
  more: Partial<ObservedState> = {},
  sysctls: Record<string, string> = {},
): ObservedState => ({
  links: linkView([
    link(1, 'eth0'),
    link(2, 'xenbr0', { kind: 'bridge' }),
    link(3, 'eth1'),
    link(5, 'vif5.0', { master: 2, port }),
  ]),
  ip: {
    ...noIp,
    sysctl: (name) => sysctls[name],
    routes: { ...noIp.routes, waysOut: (family) => [...(family === 4 ? [] : [3]), 1] },
  },
  ...more,
});
const said = (desired: DesiredState, state: ObservedState): string[] =>
  obstacles(id, desired, state).map(({ code, message }) => `${code}: ${message.replace(/; to let.*/, '')}`);

const called = { 'net/bridge/bridge-nf-call-iptables': '1' };

test.each<[string, DesiredState, ObservedState, string[]]>([
  ['nothing of others', routed, observed(), []],
  [
    'a chain at forward',
    routed,
    observed({ firewall: wall('ip', 'forward', 'FORWARD') }),
    [
      'firewall-drops: forward vif5.0 by eth0: the chain ip filter FORWARD drops packets of the guest by its policy',
    ],
  ],
  [
    'a chain of IPv4 beside a way out that leads in IPv6 alone',
    by(['eth0', 'eth1']),
    observed({ firewall: wall('ip', 'forward', 'FORWARD') }),
    [
      'firewall-drops: forward vif5.0 by eth0: the chain ip filter FORWARD drops packets of the guest by its policy',
    ],
  ],
  [
    'one of both families',
    routed,
    observed({ firewall: wall('inet', 'forward', 'f') }),
    ['4', '6'].map(
      () =>
        'firewall-drops: forward vif5.0 by eth0: the chain inet filter f drops packets of the guest by its policy',
    ),
  ],
  [
    'one at input',
    routed,
    observed({ firewall: wall('inet', 'input', 'in') }),
    [
      'firewall-drops: serve vif5.0 by DHCP: the chain inet filter in drops its requests for an address by DHCP by its policy',
    ],
  ],
  [
    'one at output',
    routed,
    observed({ firewall: wall('ip', 'output', 'OUTPUT') }),
    [
      'firewall-drops: serve vif5.0 by DHCP: the chain ip filter OUTPUT drops the answers of DHCP by its policy',
    ],
  ],
  [
    'one of IPv6 at input, of a guest that is served DHCPv6',
    by6,
    observed({ firewall: wall('ip6', 'input', 'INPUT') }),
    [
      'firewall-drops: serve vif5.0 by DHCPv6: the chain ip6 filter INPUT drops its requests for addresses by DHCPv6 by its policy',
    ],
  ],
  ['one of IPv4, of the same guest', by6, observed({ firewall: wall('ip', 'output', 'OUTPUT') }), []],
  [
    'a bridged vif whose frames it does not see',
    onBridge,
    observed({ firewall: wall('ip', 'forward', 'FORWARD') }),
    [],
  ],
  [
    'a bridged vif while br_netfilter is on',
    onBridge,
    observed({ firewall: wall('ip', 'forward', 'FORWARD') }, called),
    [
      'firewall-drops: bridge vif5.0 on xenbr0: the chain ip filter FORWARD drops bridged packets of the guest by its policy',
    ],
  ],
  [
    'IPv6 alone, of a guest that has none',
    {
      ...onBridge,
      filter: {
        ...{ hold: 'addresses', macs: [], networks: [address], tagged: false, controlFrames: false },
        ...{ reverse: false, protectHost: undefined },
      },
    },
    observed({ firewall: wall('ip6', 'forward', 'FORWARD') }, { 'net/bridge/bridge-nf-call-ip6tables': '1' }),
    [],
  ],
  [
    'IPv6 alone, of a guest that is held to nothing',
    onBridge,
    observed({ firewall: wall('ip6', 'forward', 'FORWARD') }, { 'net/bridge/bridge-nf-call-ip6tables': '1' }),
    [
      'firewall-drops: bridge vif5.0 on xenbr0: the chain ip6 filter FORWARD drops bridged packets of the guest by its policy',
    ],
  ],
  [
    'a spanning tree that waits',
    onBridge,
    onPort({ waiting: 'learning' }, { forwardDelay: 15 }),
    [
      'bridge-waits: attach vif5.0 to bridge xenbr0: its spanning tree lets nothing through for 30 s after each attach; if it needs none: ip link set dev xenbr0 type bridge stp_state 0',
    ],
  ],
  [
    'a port that its guard has disabled',
    onBridge,
    onPort({ waiting: 'disabled' }, { forwardDelay: 15 }),
    [
      "port-closed: attach vif5.0 to bridge xenbr0: a spanning tree's BPDU came from the guest, and bpdu_guard has disabled the port; to enable it: ip link set dev vif5.0 down",
    ],
  ],
  [
    'a port that somebody has disabled',
    onBridge,
    onPort({ waiting: 'disabled' }),
    [
      'port-closed: attach vif5.0 to bridge xenbr0: something has set its port to disabled; to have it forward: bridge link set dev vif5.0 state 3',
    ],
  ],
  [
    'one that is locked',
    onBridge,
    onPort({ locked: true }),
    [
      'port-closed: attach vif5.0 to bridge xenbr0: its port is locked, and passes only MAC addresses that are entered; to unlock it: bridge link set dev vif5.0 locked off',
    ],
  ],
  [
    'a bridge that is down',
    onBridge,
    onPort({ waiting: 'disabled' }, { up: false }),
    ['bridge-down: attach vif5.0 to bridge xenbr0: it is down; run: ip link set dev xenbr0 up'],
  ],
  [
    'a spanning tree of Open vSwitch that waits',
    onSwitch,
    switching('listening'),
    [
      'bridge-waits: attach vif5.0 to Open vSwitch bridge ovsbr0: its spanning tree lets nothing through yet, as after each attach; if it needs none: ovs-vsctl set bridge ovsbr0 stp_enable=false rstp_enable=false',
    ],
  ],
  [
    'one that has found a loop',
    onSwitch,
    switching('blocking'),
    [
      'bridge-waits: attach vif5.0 to Open vSwitch bridge ovsbr0: its spanning tree blocks the port, since the same network is reached by another; does the guest bridge its interfaces?',
    ],
  ],
  ['one that forwards', onSwitch, switching(), []],
])('%s', (_, desired, state, expected) => expect(said(desired, state)).toEqual(expected));
