import { Xenstore } from 'node-xenstore';
import type { Config } from '../../config/config.js';
import { Host } from '../../host/host.js';
import { Backend } from '../../xenstore/backend.js';
import { exit } from '../exit-status.js';
import { type Edge, graph, type Node } from './edges.js';

/** `vifd graph [--format mermaid|dot] [--json]`: prints uplinks, bridges, vifs and guests as they are connected now. */
export async function graphCommand(
  { openvswitch, scripts }: Pick<Config, 'openvswitch' | 'scripts'>,
  options: { json: boolean; format: string },
): Promise<number> {
  const xenstore = await Xenstore.open();
  const host = await Host.open(() => undefined, { openvswitch });
  try {
    const backend = new Backend(xenstore);
    const snapshots = await Promise.all((await backend.list()).map((id) => backend.read(id)));
    const edges = graph(
      snapshots.filter((one) => one !== undefined),
      host.observe(),
      { scripts },
    );
    if (options.json) process.stdout.write(`${JSON.stringify(edges, undefined, 2)}\n`);
    else process.stdout.write(options.format === 'dot' ? printDot(edges) : printMermaid(edges));
    return exit.ok;
  } finally {
    host.close();
    await xenstore.close();
  }
}

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
  const drawn = nodes.map(({ id, kind, name }) => `  ${id}${shapes[kind].mermaid.join(`"${name}"`)}`);
  const joined = lines.map(
    ({ from, to, vlans }) => `  ${from} ---${vlans === undefined ? '' : `|"${vlans}"|`} ${to}`,
  );
  return `${['flowchart LR', ...drawn, ...joined].join('\n')}\n`;
}

/** The graph in Graphviz' DOT. */
export function printDot(edges: readonly Edge[]): string {
  const { nodes, lines } = numbered(edges);
  const drawn = nodes.map(({ id, kind, name }) => `  ${id} [label="${name}", shape=${shapes[kind].dot}];`);
  const joined = lines.map(
    ({ from, to, vlans }) => `  ${from} -- ${to}${vlans === undefined ? '' : ` [label="${vlans}"]`};`,
  );
  return `${['graph vifd {', '  rankdir=LR;', ...drawn, ...joined, '}'].join('\n')}\n`;
}
