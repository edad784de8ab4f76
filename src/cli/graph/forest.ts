import type { Edge, Node } from './edges.js';

/** A node with what is beyond it, seen from the outside. */
export interface Branch {
  readonly node: Node;
  /** The VLANs of the port that joins it to the node before. */
  readonly vlans: string;
  /** The guest of a vif. */
  readonly guest?: string | undefined;
  /** It is drawn before, with what is beyond it: a bridge with two uplinks. */
  readonly isAgain: boolean;
  readonly beyond: readonly Branch[];
}

/** What the edges join, from what is nearest to the outside; and the vifs that nothing joins to it. */
export function forest(edges: readonly Edge[]): { roots: Branch[]; apart: Branch[] } {
  const guests = new Map<string, string>();
  const joined = new Set<string>();
  const below = new Map<string, Edge[]>();
  const nodes = new Map<string, Node>();
  for (const edge of edges) {
    const { from, to } = edge;
    nodes.set(keyOf(from), from);
    if (to.kind === 'guest') {
      guests.set(from.name, to.name);
      continue;
    }
    nodes.set(keyOf(to), to);
    joined.add(keyOf(to));
    below.set(keyOf(from), [...(below.get(keyOf(from)) ?? []), edge]);
  }
  const drawn = new Set<string>();
  const branch = (node: Node, vlans = ''): Branch => {
    const key = keyOf(node);
    const isAgain = drawn.has(key);
    drawn.add(key);
    const beyond = isAgain ? [] : (below.get(key) ?? []).map((edge) => branch(edge.to, edge.vlans));
    return { node, vlans, guest: node.kind === 'vif' ? guests.get(node.name) : undefined, isAgain, beyond };
  };
  const begin = (which: readonly Node[]): Branch[] =>
    which.flatMap((node) => (drawn.has(keyOf(node)) ? [] : [branch(node)]));
  const all = [...nodes.values()];
  const others = all.filter(({ kind }) => kind !== 'vif');
  const roots = begin(others.filter((node) => !joined.has(keyOf(node))));
  // Interfaces that are joined in a circle have none that is nearest to the outside.
  return { roots: [...roots, ...begin(others)], apart: begin(all) };
}

const keyOf = ({ kind, name }: Node): string => `${kind} ${name}`;
