import { expect, test } from 'vitest';
import { type Edge, graph } from '../../../../src/cli/graph/edges.js';
import { printDot, printMermaid } from '../../../../src/cli/graph/languages.js';
import type { IpState } from '../../../../src/model/ip.js';
import { linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { link } from '../../../fake/link.js';
import { OvsMachine } from '../../../fake/openvswitch-machine.js';

const port = (...vlans: [vid: number, pvid?: boolean, untagged?: boolean][]) => ({
  isolated: false,
  multicastFlood: true,
  broadcastFlood: true,
  vlans: vlans.map(([vid, pvid = false, untagged = false]) => ({ vid, pvid, untagged })),
});
const vif = (domid: number, script: string, bridge = '') =>
  snapshot({ domid, devid: 0 }, new Map(Object.entries({ script: `/etc/xen/scripts/${script}`, bridge })));

const links = linkView([
  link(1, 'lo'),
  link(2, 'xenbr0', { kind: 'bridge', vlanFiltering: true }),
  link(3, 'bond0', { master: 2, kind: 'bond' }),
  link(4, 'ovs-system', { kind: 'openvswitch' }),
  link(5, 'vif5.0', { master: 2, port: port([10, true, true], [20], [21]) }),
  link(6, 'renamed', { master: 2, alias: 'vif6.0' }),
  link(7, 'vif7.0', { master: 4 }),
  link(8, 'vif8.0'),
  link(9, 'vif9.0', { up: false }),
  link(10, 'enX1', { master: 77 }),
  link(11, 'enX2', { master: 4 }),
  link(12, 'enX3', { master: 3 }),
  link(13, 'enX4', { master: 3 }),
]);
const vifs = [
  vif(5, 'vif-bridge', 'xenbr0'),
  vif(6, 'vif-bridge', 'xenbr0'),
  vif(7, 'vif-openvswitch', 'ovsbr0.10:20'),
  vif(8, 'vif-route'),
  vif(9, 'vif-bridge', 'nowhere'),
  vif(10, 'vif-bridge', 'xenbr0'),
];
const openvswitch = new OvsMachine({
  state: 'known',
  bridges: [{ name: 'ovsbr0' }, { name: 'ovsbr1' }, { name: 'fake', parent: 'ovsbr1', vlan: 7 }],
  ports: [
    { name: 'ovsbr0', bridge: 'ovsbr0' },
    { name: 'enX2', bridge: 'ovsbr0', trunks: [10, 20] },
    { name: 'fake', bridge: 'ovsbr1', tag: 7 },
    // An administrator has moved it: the key says ovsbr0.10:20.
    { name: 'vif7.0', bridge: 'ovsbr1', tag: 30, owner: 'vif7.0' },
    { name: 'vif11.0', bridge: 'ovsbr1', owner: 'vif11.0' },
  ],
});
const told = (edges: readonly Edge[]) =>
  edges.map(
    ({ from, to, vlans }) =>
      `${from.kind} ${from.name} - ${to.kind} ${to.name}${vlans === undefined ? '' : `: ${vlans}`}`,
  );

test('uplinks, bridges, vifs and guests, as they are and not as they should be', () => {
  const ip = { routes: { waysOut: (version: 4 | 6) => (version === 4 ? [2] : []) } } as unknown as IpState;
  expect(told(graph(vifs, { links, openvswitch, ip }))).toEqual([
    'uplink bond0 - bridge xenbr0',
    'uplink enX1 - bridge interface 77',
    'uplink enX3 - uplink bond0',
    'uplink enX4 - uplink bond0',
    'uplink enX2 - bridge ovsbr0: trunks=10,20',
    'bridge xenbr0 - host this domain',
    'bridge xenbr0 - vif vif5.0: VLAN 10 PVID untagged, 20-21',
    'vif vif5.0 - guest domain 5',
    'bridge xenbr0 - vif vif6.0',
    'vif vif6.0 - guest domain 6',
    'bridge ovsbr1 - vif vif7.0: tag=30',
    'vif vif7.0 - guest domain 7',
    'host this domain - vif vif8.0',
    'vif vif8.0 - guest domain 8',
    'vif vif9.0 - guest domain 9',
    'vif vif10.0 - guest domain 10',
  ]);
});

test('where Open vSwitch does not answer, what the kernel knows of it and nothing else', () => {
  const few = [vif(7, 'vif-openvswitch', 'ovsbr0'), vif(8, 'vif-openvswitch', 'ovsbr0')];
  expect(told(graph(few, { links, openvswitch: new OvsMachine({ state: 'unreachable' }) })).slice(2)).toEqual(
    [
      'uplink enX2 - bridge ovs-system',
      'uplink enX3 - uplink bond0',
      'uplink enX4 - uplink bond0',
      'bridge ovs-system - vif vif7.0',
      'vif vif7.0 - guest domain 7',
      'vif vif8.0 - guest domain 8',
    ],
  );
});

test('as Mermaid and as DOT: each node once', () => {
  const few = graph(vifs, { links }).slice(5, 8);
  expect(printMermaid(few)).toBe(
    [
      'flowchart LR',
      '  n0[["xenbr0"]]',
      '  n1["vif5.0"]',
      '  n2("domain 5")',
      '  n3["vif6.0"]',
      '  n0 ---|"VLAN 10 PVID untagged, 20-21"| n1',
      '  n1 --- n2',
      '  n0 --- n3',
      '',
    ].join('\n'),
  );
  expect(printDot(few)).toBe(
    [
      'graph vifd {',
      '  rankdir=LR;',
      '  n0 [label="xenbr0", shape=box3d];',
      '  n1 [label="vif5.0", shape=box];',
      '  n2 [label="domain 5", shape=ellipse];',
      '  n3 [label="vif6.0", shape=box];',
      '  n0 -- n1 [label="VLAN 10 PVID untagged, 20-21"];',
      '  n1 -- n2;',
      '  n0 -- n3;',
      '}',
      '',
    ].join('\n'),
  );
  expect(printMermaid([])).toBe('flowchart LR\n');
});
