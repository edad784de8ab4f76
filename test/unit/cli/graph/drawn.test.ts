import { expect, test } from 'vitest';
import type { VifDetails } from '../../../../src/cli/graph/details.js';
import type { Edge, Node } from '../../../../src/cli/graph/edges.js';
import { printDot, printMermaid } from '../../../../src/cli/graph/languages.js';
import { printSvg } from '../../../../src/cli/graph/svg.js';
import { printTree } from '../../../../src/cli/graph/tree.js';

const node = (kind: Node['kind'], name: string): Node => ({ kind, name });
const [bond, eth0, eth1] = [node('uplink', 'bond0'), node('uplink', 'eth0'), node('uplink', 'eth1')];
const [bridge, host] = [node('bridge', 'xenbr0'), node('host', 'this domain')];
const vif = (domid: number): Node => node('vif', `vif${domid}.0`);
const toGuest = (domid: number): Edge => ({ from: vif(domid), to: node('guest', `domain ${domid}`) });

const edges: Edge[] = [
  { from: bond, to: bridge },
  { from: eth0, to: bond },
  { from: eth1, to: bond },
  { from: bridge, to: host },
  { from: bridge, to: vif(5), vlans: 'VLAN 10 PVID untagged' },
  toGuest(5),
  { from: bridge, to: vif(6) },
  toGuest(6),
  { from: host, to: vif(8) },
  toGuest(8),
  toGuest(9),
];

const of = (domid: number, more: Partial<VifDetails>): VifDetails => ({
  vif: `vif${domid}.0`,
  state: 'attached',
  why: [],
  addresses: [],
  limits: [],
  ...more,
});
const details = [
  of(5, {
    addresses: ['10.0.0.5/32', 'fd00::5/128'],
    limits: ['100mbit from the guest'],
    rate: { fromGuest: 12_345_678, toGuest: 999 },
    netdev: 'web',
  }),
  of(6, { state: 'blocked', rate: { fromGuest: 0, toGuest: 0 } }),
  of(8, { state: 'degraded', why: ['route vif8.0 to eth7: no such interface'], addresses: ['10.8.0.1/16'] }),
  of(9, { state: 'failed', why: ['attach vif9.0 to bridge nowhere: no such bridge'] }),
];

test('a tree from the outside to the guests: what has two uplinks once', () => {
  expect(printTree(edges, details, { colour: false })).toBe(
    [
      '                                  STATE     ADDRESS                  VLAN                   FROM GUEST   TO GUEST   LIMITED TO',
      'eth0 (uplink)',
      '└─ bond0 (uplink)',
      '   └─ xenbr0 (bridge)',
      '      ├─ this domain (router)',
      '      │  └─ vif8.0 ─ domain 8     degraded  10.8.0.1/16',
      '      │     route vif8.0 to eth7: no such interface',
      '      ├─ vif5.0 (web) ─ domain 5  attached  10.0.0.5/32 fd00::5/128  VLAN 10 PVID untagged  12.3 Mbit/s  999 bit/s  100mbit from the guest',
      '      └─ vif6.0 ─ domain 6        blocked                                                   0 bit/s      0 bit/s',
      'eth1 (uplink)',
      '└─ bond0 (uplink, as above)',
      'on no bridge, and not routed',
      '└─ vif9.0 ─ domain 9              failed',
      '   attach vif9.0 to bridge nowhere: no such bridge',
      '',
    ].join('\n'),
  );
});

test('in colour the state, and nothing else that would differ without', () => {
  const [plain, coloured] = [false, true].map((colour) => printTree(edges, details, { colour }));
  for (const piece of ['\x1b[32mattached\x1b[0m', '\x1b[31mfailed\x1b[0m', '\x1b[35mblocked\x1b[0m'])
    expect(coloured).toContain(piece);
  expect(
    coloured
      ?.split('\x1b')
      .map((piece) => piece.replace(/^\[\d+m/, ''))
      .join(''),
  ).toBe(plain);
  expect(printTree([], [], { colour: true })).toMatch(/^nothing to draw: /);
});

test('interfaces that are joined in a circle are drawn, once', () => {
  const circle = [
    { from: eth0, to: eth1 },
    { from: eth1, to: eth0 },
  ];
  expect(printTree(circle, [], { colour: false }).split('\n').slice(1)).toEqual([
    'eth0 (uplink)',
    '└─ eth1 (uplink)',
    '   └─ eth0 (uplink, as above)',
    '',
  ]);
  expect(printSvg(circle, [])).toContain('>eth1</text>');
});

/** The texts of a picture by what they begin with, and the boxes of its nodes. */
const boxesOf = (svg: string) =>
  [
    ...svg.matchAll(
      /<g>(?:<title>[^<]*<\/title>)?<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"[^>]*>(.*?)<\/g>/g,
    ),
  ].map(([, x, y, width, height, texts = '']) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
    texts: [...texts.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text),
  }));

test('a picture with the same in it, no box upon another', () => {
  const svg = printSvg(edges, details);
  const boxes = boxesOf(svg);
  expect(boxes.map(({ texts }) => texts)).toEqual(
    expect.arrayContaining([
      ['eth0', 'uplink'],
      ['xenbr0', 'bridge'],
      ['this domain', 'router'],
      [
        'vif5.0 (web)',
        'attached',
        '10.0.0.5/32',
        'fd00::5/128',
        'from guest 12.3 Mbit/s',
        'to guest 999 bit/s',
        'at most 100mbit from the guest',
      ],
      ['vif9.0', 'failed', 'attach vif9.0 to bridge nowhere: no such br…'],
      ['domain 5'],
    ]),
  );
  expect(boxes.length).toBe(13);
  expect(svg).toContain('>VLAN 10 PVID untagged</text>');
  expect(svg).toContain('<title>vif9.0\nfailed\nattach vif9.0 to bridge nowhere: no such bridge</title>');
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? [];
  for (const [i, one] of boxes.entries()) {
    expect(one.x).toBeGreaterThanOrEqual(0);
    expect(one.x + one.width).toBeLessThanOrEqual(Number(width));
    expect(one.y + one.height).toBeLessThanOrEqual(Number(height));
    for (const other of boxes.slice(i + 1)) {
      const isApart =
        one.x + one.width <= other.x ||
        other.x + other.width <= one.x ||
        one.y + one.height <= other.y ||
        other.y + other.height <= one.y;
      expect(isApart, `${one.texts} and ${other.texts}`).toBe(true);
    }
  }
  // The bridge is nearer to the outside than what is on it.
  const at = (name: string) => boxes.find(({ texts }) => texts[0] === name)?.x ?? 0;
  expect(at('eth0')).toBeLessThan(at('xenbr0'));
  expect(at('xenbr0')).toBeLessThan(at('vif6.0'));
  expect(at('vif6.0')).toBeLessThan(at('domain 6'));
  expect(printSvg([], [])).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
});

test.each([
  '</text><script>alert(1)</script>',
  '"\'&lt;]]>',
  '\x1b]0;title\x07\x1b[2J',
  'a\u202Eb\u0085\u009b31m\ufffe',
  '\ud800',
  '"];n9[label="x',
  '\\',
])('a name that is hostile to what it is drawn with: %j', (name) => {
  const hostile: Edge[] = [
    { from: node('bridge', name), to: node('vif', name), vlans: name },
    { from: node('vif', name), to: node('guest', name) },
  ];
  const about = [{ ...of(5, { why: [name], addresses: [name], limits: [name], netdev: name }), vif: name }];
  const tree = printTree(hostile, about, { colour: false });
  expect(tree).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/mu);
  expect(tree.split('\n').length).toBe(5);
  const svg = printSvg(hostile, about);
  expect(svg).not.toMatch(/[\p{Cf}\p{Cs}\ufffe\uffff]|[^\P{Cc}\n]/u);
  // What is not a tag of ours has no angle bracket, and no ampersand but of a reference.
  const text = svg.replaceAll(/<\/?(svg|title|style|rect|path|g|text)( [\w:-]+="[^"<>]*")*\/?>/g, '');
  expect(text).not.toMatch(/[<>]|&(?!#\d+;)/);
  expect(svg.match(/<text/g)?.length).toBe(9);
  const mermaid = printMermaid(hostile).split('\n');
  expect(mermaid.length).toBe(7);
  for (const line of mermaid.slice(1, 4)) expect(line).toMatch(/^ {2}n\d[[(]+"[^"<>\p{Cc}]*"[\])]+$/u);
  const dot = printDot(hostile).split('\n');
  expect(dot.length).toBe(9);
  for (const line of dot.slice(2, 5)) expect(line).toMatch(/^ {2}n\d \[label="(\\.|[^"\\])*", shape=\w+\];$/);
});
