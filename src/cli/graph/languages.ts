import { steering } from '../../model/one-line.js';
import type { Edge, Node } from './edges.js';

/** The shape of each kind of node: Mermaid's brackets and DOT's name. */
const shapes = {
  uplink: { mermaid: ['([', '])'], dot: 'cds' },
  bridge: { mermaid: ['[[', ']]'], dot: 'box3d' },
  host: { mermaid: ['[[', ']]'], dot: 'box3d' },
  vif: { mermaid: ['[', ']'], dot: 'box' },
  guest: { mermaid: ['(', ')'], dot: 'ellipse' },
} as const;

/** The nodes in order of appearance, with an id each, and the edges by those ids. */
function numbered(edges: readonly Edge[]): {
  nodes: (Node & { id: string })[];
  lines: { from: string; to: string; vlans: string | undefined }[];
} {
  const found = new Map<string, Node & { id: string }>();
  const idOf = (node: Node): string => {
    const key = `${node.kind} ${node.name}`;
    const known = found.get(key) ?? { ...node, id: `n${found.size}` };
    found.set(key, known);
    return known.id;
  };
  const lines = edges.map(({ from, to, vlans }) => ({ from: idOf(from), to: idOf(to), vlans }));
  return { nodes: [...found.values()], lines };
}

/** The graph in Mermaid's language. */
export function printMermaid(edges: readonly Edge[]): string {
  const { nodes, lines } = numbered(edges);
  const drawn = nodes.map(
    ({ id, kind, name }) => `  ${id}${shapes[kind].mermaid.join(`"${inMermaid(name)}"`)}`,
  );
  const joined = lines.map(
    ({ from, to, vlans }) => `  ${from} ---${vlans === undefined ? '' : `|"${inMermaid(vlans)}"|`} ${to}`,
  );
  return `${['flowchart LR', ...drawn, ...joined].join('\n')}\n`;
}

/** The graph in Graphviz' DOT. */
export function printDot(edges: readonly Edge[]): string {
  const { nodes, lines } = numbered(edges);
  const drawn = nodes.map(
    ({ id, kind, name }) => `  ${id} [label="${inDot(name)}", shape=${shapes[kind].dot}];`,
  );
  const joined = lines.map(
    ({ from, to, vlans }) => `  ${from} -- ${to}${vlans === undefined ? '' : ` [label="${inDot(vlans)}"]`};`,
  );
  return `${['graph vifd {', '  rankdir=LR;', ...drawn, ...joined, '}'].join('\n')}\n`;
}

/** A name in quotes of Mermaid, which takes the numbers of characters; its labels are HTML. */
const inMermaid = (name: string): string =>
  name.replace(/[^\p{L}\p{N} ,.:=_/@+%-]/gu, (one) => `#${one.codePointAt(0)};`);

/** A name in quotes of DOT, where a backslash begins an escape and `&` an entity of HTML. */
const inDot = (name: string): string =>
  name.replace(steering, '\ufffd').replace(/["\\]/g, '\\$&').replaceAll('&', '&amp;');
