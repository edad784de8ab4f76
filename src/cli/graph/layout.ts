import * as dagre from '@dagrejs/dagre';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Two joined boxes by their keys, and the size of the label between them, if there is one. */
export interface Joint {
  readonly from: string;
  readonly to: string;
  readonly label?: Size | undefined;
}

/** Where all is, from the left to the right. Boxes have their middle; joints, in the order given, the points they go through. */
export interface Layout extends Size {
  readonly boxes: ReadonlyMap<string, Point>;
  readonly joints: readonly { readonly points: readonly Point[]; readonly label: Point | undefined }[];
}

/** What is used of dagre. Its own types import files without an extension, which are not found under Node's rules. */
interface DagreGraph {
  setGraph(options: Record<string, string | number>): void;
  graph(): Partial<Size>;
  setNode(key: string, size: Size): void;
  node(key: string): Point;
  setEdge(from: string, to: string, label: Record<string, string | number>, name: string): void;
  edge(from: string, to: string, name: string): Partial<Point> & { readonly points: readonly Point[] };
}
const { graphlib, layout } = dagre as unknown as {
  graphlib: { Graph: new (options: { multigraph: boolean }) => DagreGraph };
  layout(graph: DagreGraph): void;
};

/** Lays boxes out in columns, so that few joints cross. */
export function layOut(sizes: ReadonlyMap<string, Size>, joints: readonly Joint[], margin: number): Layout {
  const graph = new graphlib.Graph({ multigraph: true });
  // By the longest path all guests, beyond which there is nothing, are in the last column, and the vifs in the one before.
  const ranker = 'longest-path';
  graph.setGraph({ rankdir: 'LR', ranker, nodesep: 14, ranksep: 36, marginx: margin, marginy: margin });
  for (const [key, size] of sizes) graph.setNode(key, { ...size });
  for (const [i, { from, to, label }] of joints.entries())
    graph.setEdge(from, to, label ? { ...label, labelpos: 'c' } : {}, `${i}`);
  layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  return {
    width: Math.max(width, 2 * margin),
    height: Math.max(height, 2 * margin),
    boxes: new Map([...sizes.keys()].map((key) => [key, graph.node(key)])),
    joints: joints.map(({ from, to, label }, i) => {
      const { points, x, y } = graph.edge(from, to, `${i}`);
      return { points, label: label && x !== undefined && y !== undefined ? { x, y } : undefined };
    }),
  };
}
