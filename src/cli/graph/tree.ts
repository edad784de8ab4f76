import { onOneLine } from '../../model/one-line.js';
import { bits } from '../rate.js';
import { printColumns, type Row, type Span, sgr } from './columns.js';
import type { DrawnState, VifDetails } from './details.js';
import type { Edge } from './edges.js';
import { type Branch, forest } from './forest.js';

const colours: Readonly<Record<DrawnState, number>> = {
  attached: sgr.green,
  degraded: sgr.yellow,
  blocked: sgr.magenta,
  pending: sgr.yellow,
  waiting: sgr.yellow,
  failed: sgr.red,
  closing: sgr.dim,
};

const kinds = { uplink: 'uplink', bridge: 'bridge', host: 'router', vif: '', guest: '' } as const;
const heads = ['', 'STATE', 'ADDRESS', 'VLAN', 'FROM GUEST', 'TO GUEST', 'LIMITED TO'];

/** The graph as a tree of lines, from the outside to the guests; a vif and its guest have a line, and one for each reason below it. */
export function printTree(
  edges: readonly Edge[],
  details: readonly VifDetails[],
  { colour }: { colour: boolean },
): string {
  if (edges.length === 0)
    return 'nothing to draw: xenstore has no vif for this domain, and no bridge here has a port\n';
  const known = new Map(details.map((one) => [one.vif, one]));
  const { roots, apart } = forest(edges);
  const rows = roots.flatMap((root) => rowsOf(root, known, '', ''));
  if (apart.length > 0) {
    rows.push([[{ text: 'on no bridge, and not routed', sgr: sgr.bold }]]);
    rows.push(...limbs(apart, known, ''));
  }
  return printColumns(heads, rows, colour);
}

/** The lines of branches that end at one node. */
const limbs = (branches: readonly Branch[], known: ReadonlyMap<string, VifDetails>, lead: string): Row[] =>
  branches.flatMap((branch, i) =>
    i === branches.length - 1
      ? rowsOf(branch, known, `${lead}└─ `, `${lead}   `)
      : rowsOf(branch, known, `${lead}├─ `, `${lead}│  `),
  );

/** The lines of a branch: the first begins with `lead`, the others with `inner`. */
function rowsOf(
  { node, vlans, guest, isAgain, beyond }: Branch,
  known: ReadonlyMap<string, VifDetails>,
  lead: string,
  inner: string,
): Row[] {
  const before: Span = { text: lead, sgr: sgr.dim };
  const name: Span = { text: onOneLine(node.name), sgr: sgr.bold };
  if (node.kind !== 'vif') {
    const kind = { text: ` (${kinds[node.kind]}${isAgain ? ', as above' : ''})`, sgr: sgr.dim };
    return [[[before, name, kind], [], [], plain(vlans)], ...limbs(beyond, known, inner)];
  }
  const { state, why = [], addresses = [], limits = [], rate, netdev } = known.get(node.name) ?? {};
  const colour = state && colours[state];
  const others = `${netdev === undefined ? '' : ` (${netdev})`}${guest === undefined ? '' : ` ─ ${guest}`}`;
  return [
    [
      [before, name, { text: onOneLine(others) }],
      [{ text: state ?? '', sgr: colour }],
      plain(addresses.join(' ')),
      plain(vlans),
      plain(rate ? bits(rate.fromGuest) : ''),
      plain(rate ? bits(rate.toGuest) : ''),
      plain(limits.join(', ')),
    ],
    ...why.map(
      (one): Row => [
        [
          { text: inner, sgr: sgr.dim },
          { text: onOneLine(one), sgr: colour },
        ],
      ],
    ),
  ];
}

const plain = (text: string): Span[] => [{ text: onOneLine(text) }];
