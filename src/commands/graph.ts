import { Xenstore } from 'node-xenstore';
import { Backend } from '../host/backend.js';
import { Host } from '../host/host.js';
import { vifName } from '../vif/id.js';
import { type LinkView, vifOfLink } from '../vif/observed.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import { exit } from './exit.js';

/** Two things that are joined, from the outside in, each named and shaped by what it is. */
export interface Edge {
  readonly from: Node;
  readonly to: Node;
}

export interface Node {
  readonly kind: 'uplink' | 'bridge' | 'host' | 'vif' | 'guest';
  readonly name: string;
}

/** `vifd graph [--format mermaid|dot] [--json]`: uplinks, bridges, vifs and guests as they are now. */
export async function graphCommand(options: { json: boolean; format: string }): Promise<number> {
  const xenstore = await Xenstore.open();
  const host = await Host.open(() => undefined);
  try {
    const backend = new Backend(xenstore);
    const snapshots = await Promise.all((await backend.list()).map((id) => backend.read(id)));
    const edges = graph(
      snapshots.filter((one) => one !== undefined),
      host.observe().links,
    );
    if (options.json) process.stdout.write(`${JSON.stringify(edges, undefined, 2)}\n`);
    else process.stdout.write(options.format === 'dot' ? printDot(edges) : printMermaid(edges));
    return exit.ok;
  } finally {
    host.close();
    await xenstore.close();
  }
}

/** What is joined to what. A vif that is on no bridge is joined to the host itself, which routes for it. */
export function graph(vifs: readonly VifSnapshot[], links: LinkView): Edge[] {
  const ports = [...links.all()].filter((link) => link.master !== undefined && vifOfLink(link) === undefined);
  const uplinks = ports.map(({ name, master }) => ({
    from: { kind: 'uplink', name } as const,
    to: { kind: 'bridge', name: links.byIndex(master ?? 0)?.name ?? `interface ${master}` } as const,
  }));
  const attached = vifs.flatMap(({ id, bridge, script }): Edge[] => {
    const vif: Node = { kind: 'vif', name: vifName(id) };
    const guest: Node = { kind: 'guest', name: `domain ${id.domid}` };
    const link = links.ofVif(id);
    const master = links.byIndex(link?.master ?? 0);
    // Open vSwitch's ports all have its datapath for master; the bridge is in its database, and in the key.
    const onOpenvswitch = script?.endsWith('/vif-openvswitch') === true && master !== undefined;
    const bridgeName = onOpenvswitch ? (bridge?.split(/[.:]/)[0] ?? master.name) : master?.name;
    const joined = bridgeName !== undefined || link?.up === true;
    const to: Node =
      bridgeName === undefined ? { kind: 'host', name: 'this domain' } : { kind: 'bridge', name: bridgeName };
    return [...(joined ? [{ from: to, to: vif }] : []), { from: vif, to: guest }];
  });
  return [...uplinks, ...attached];
}

/** How each kind is drawn: Mermaid's brackets and DOT's shape. */
const shapes = {
  uplink: { mermaid: ['([', '])'], dot: 'cds' },
  bridge: { mermaid: ['[[', ']]'], dot: 'box3d' },
  host: { mermaid: ['[[', ']]'], dot: 'box3d' },
  vif: { mermaid: ['[', ']'], dot: 'box' },
  guest: { mermaid: ['(', ')'], dot: 'ellipse' },
} as const;

/** The nodes in order of appearance with an id each, and the edges by those ids. */
function numbered(edges: readonly Edge[]): { nodes: (Node & { id: string })[]; pairs: [string, string][] } {
  const found = new Map<string, Node & { id: string }>();
  const idOf = (node: Node): string => {
    const key = `${node.kind} ${node.name}`;
    const known = found.get(key) ?? { ...node, id: `n${found.size}` };
    found.set(key, known);
    return known.id;
  };
  const pairs = edges.map(({ from, to }): [string, string] => [idOf(from), idOf(to)]);
  return { nodes: [...found.values()], pairs };
}

export function printMermaid(edges: readonly Edge[]): string {
  const { nodes, pairs } = numbered(edges);
  const drawn = nodes.map(({ id, kind, name }) => `  ${id}${shapes[kind].mermaid.join(`"${name}"`)}`);
  return `${['flowchart LR', ...drawn, ...pairs.map((pair) => `  ${pair.join(' --- ')}`)].join('\n')}\n`;
}

export function printDot(edges: readonly Edge[]): string {
  const { nodes, pairs } = numbered(edges);
  const drawn = nodes.map(({ id, kind, name }) => `  ${id} [label="${name}", shape=${shapes[kind].dot}];`);
  const joined = pairs.map((pair) => `  ${pair.join(' -- ')};`);
  return `${['graph vifd {', '  rankdir=LR;', ...drawn, ...joined, '}'].join('\n')}\n`;
}
