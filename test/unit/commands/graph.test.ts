import { expect, test } from 'vitest';
import { graph, printDot, printMermaid } from '../../../src/commands/graph.js';
import { type Link, linkView } from '../../../src/vif/observed.js';
import { snapshot } from '../../../src/vif/snapshot.js';

const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  alias: undefined,
  parent: undefined,
  kind: undefined,
  mac: '00:16:3e:00:00:01',
  mtu: 1500,
  up: true,
  master: undefined,
  addresses: [],
  ...more,
});
const vif = (domid: number, script: string, bridge = '') =>
  snapshot({ domid, devid: 0 }, new Map(Object.entries({ script: `/etc/xen/scripts/${script}`, bridge })));

const links = linkView([
  link(1, 'lo'),
  link(2, 'xenbr0', { kind: 'bridge' }),
  link(3, 'enX0', { master: 2 }),
  link(4, 'ovs-system', { kind: 'openvswitch' }),
  link(5, 'vif5.0', { master: 2 }),
  link(6, 'renamed', { master: 2, alias: 'vif6.0' }),
  link(7, 'vif7.0', { master: 4 }),
  link(8, 'vif8.0'),
  link(9, 'vif9.0', { up: false }),
  link(10, 'enX1', { master: 77 }),
]);
const edges = graph(
  [
    vif(5, 'vif-bridge', 'xenbr0'),
    vif(6, 'vif-bridge', 'xenbr0'),
    vif(7, 'vif-openvswitch', 'ovsbr0.10:20'),
    vif(8, 'vif-route'),
    vif(9, 'vif-bridge', 'nowhere'),
    vif(10, 'vif-bridge', 'xenbr0'),
  ],
  links,
);

test('uplinks, bridges, vifs and guests, as they are and not as they should be', () => {
  expect(edges.map(({ from, to }) => `${from.kind} ${from.name} - ${to.kind} ${to.name}`)).toEqual([
    'uplink enX0 - bridge xenbr0',
    'uplink enX1 - bridge interface 77',
    'bridge xenbr0 - vif vif5.0',
    'vif vif5.0 - guest domain 5',
    'bridge xenbr0 - vif vif6.0',
    'vif vif6.0 - guest domain 6',
    'bridge ovsbr0 - vif vif7.0',
    'vif vif7.0 - guest domain 7',
    'host this domain - vif vif8.0',
    'vif vif8.0 - guest domain 8',
    'vif vif9.0 - guest domain 9',
    'vif vif10.0 - guest domain 10',
  ]);
});

test('as Mermaid and as DOT: each node once', () => {
  const few = edges.slice(2, 5);
  expect(printMermaid(few)).toBe(
    [
      'flowchart LR',
      '  n0[["xenbr0"]]',
      '  n1["vif5.0"]',
      '  n2("domain 5")',
      '  n3["vif6.0"]',
      '  n0 --- n1',
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
      '  n0 -- n1;',
      '  n1 -- n2;',
      '  n0 -- n3;',
      '}',
      '',
    ].join('\n'),
  );
  expect(printMermaid([])).toBe('flowchart LR\n');
});
