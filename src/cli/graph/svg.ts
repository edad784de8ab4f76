import { steering } from '../../model/one-line.js';
import { bits } from '../rate.js';
import type { DrawnState, VifDetails } from './details.js';
import type { Edge, Node } from './edges.js';
import { layOut, type Point, type Size } from './layout.js';

/** Sizes in pixels. A character's width is that of the usual fixed-width fonts, 0.6 of their size, and a little more. */
const px = { character: 7.5, line: 16, padding: 10, margin: 16 } as const;

/** The characters of a line that fit into a box. */
const longest = 44;

const colours: Readonly<Record<DrawnState, string>> = {
  attached: '#2da44e',
  degraded: '#bf8700',
  blocked: '#8250df',
  pending: '#bf8700',
  waiting: '#bf8700',
  failed: '#cf222e',
  closing: '#8c959f',
};

const style = `
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328; }
  .name { font-weight: bold; }
  rect { fill: #f6f8fa; stroke: #8c959f; }
  .paper { fill: #ffffff; stroke: none; }
  path { fill: none; stroke: #8c959f; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } rect { fill: #161b22; } .paper { fill: #0d1117; }
  }
`;

/** The lines of a node, as they fit into its box. */
interface Box {
  readonly lines: readonly string[];
  readonly colour: string | undefined;
  /** All that is known, where a line is shortened. */
  readonly title: string | undefined;
}

/** The graph as a picture in SVG, from the outside on the left to the guests on the right. */
export function printSvg(edges: readonly Edge[], details: readonly VifDetails[]): string {
  const known = new Map(details.map((one) => [one.vif, one]));
  const nodes = new Map(edges.flatMap(({ from, to }) => [from, to]).map((node) => [keyOf(node), node]));
  const boxes = new Map([...nodes].map(([key, node]) => [key, boxOf(node, known.get(node.name))]));
  const sizes = new Map([...boxes].map(([key, { lines }]) => [key, sizeOf(lines)]));
  const joints = edges.map(({ from, to, vlans }) => ({
    from: keyOf(from),
    to: keyOf(to),
    label: vlans === undefined ? undefined : { width: widthOf([vlans]) + 8, height: px.line },
  }));
  const layout = layOut(sizes, joints, px.margin);
  const [width, height] = [Math.ceil(layout.width), Math.ceil(layout.height)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    '<title>Uplinks, bridges, interfaces of guests, and guests, as vifd graph draws them</title>',
    `<style>${style}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...layout.joints.map(({ points, label }, i) => drawJoint(points, label, edges[i]?.vlans)),
    ...[...boxes].map(([key, box]) =>
      drawBox(box, layout.boxes.get(key) ?? { x: 0, y: 0 }, sizes.get(key) ?? sizeOf(box.lines)),
    ),
    '</svg>',
    '',
  ].join('\n');
}

const keyOf = ({ kind, name }: Node): string => `${kind} ${name}`;

const widthOf = (lines: readonly string[]): number =>
  px.character * Math.max(...lines.map((line) => [...line].length));

const sizeOf = (lines: readonly string[]): Size => ({
  width: widthOf(lines) + 2 * px.padding,
  height: lines.length * px.line + 2 * px.padding - 4,
});

function boxOf({ kind, name }: Node, details: VifDetails | undefined): Box {
  if (kind === 'uplink' || kind === 'bridge') return box([name, kind]);
  if (kind === 'host') return box([name, 'router']);
  if (kind === 'guest' || details === undefined) return box([name]);
  const { netdev, state, addresses, rate, limits, why } = details;
  // A box of a vif that is silent has no lines for that.
  const rates =
    rate === undefined || rate.fromGuest + rate.toGuest === 0
      ? []
      : [`from guest ${bits(rate.fromGuest)}`, `to guest ${bits(rate.toGuest)}`];
  const title = netdev === undefined ? name : `${name} (${netdev})`;
  return box(
    [title, state, ...addresses, ...rates, ...limits.map((limit) => `at most ${limit}`), ...why],
    state,
  );
}

function box(whole: readonly string[], state?: DrawnState): Box {
  const lines = whole.map((line) => {
    const characters = [...line];
    return characters.length > longest ? `${characters.slice(0, longest - 1).join('')}…` : line;
  });
  return {
    lines,
    colour: state && colours[state],
    title: lines.every((line, i) => line === whole[i]) ? undefined : whole.join('\n'),
  };
}

function drawBox({ lines, colour, title }: Box, { x, y }: Point, { width, height }: Size): string {
  const [left, top] = [x - width / 2, y - height / 2];
  const stroke = colour === undefined ? '' : ` style="stroke: ${colour}; stroke-width: 2"`;
  const texts = lines.map((line, i) => {
    const look = i === 0 ? ' class="name"' : i === 1 && colour ? ` style="fill: ${colour}"` : '';
    return `<text x="${n(left + px.padding)}" y="${n(top + px.padding + 9 + i * px.line)}"${look}>${xml(line)}</text>`;
  });
  const whole = title === undefined ? '' : `<title>${xml(title)}</title>`;
  const rect = `<rect x="${n(left)}" y="${n(top)}" width="${n(width)}" height="${n(height)}" rx="6"${stroke}/>`;
  return `<g>${whole}${rect}${texts.join('')}</g>`;
}

/** A line through the points, round where it bends, with its label upon it. */
function drawJoint(
  [first, ...rest]: readonly Point[],
  label: Point | undefined,
  text: string | undefined,
): string {
  if (first === undefined) return '';
  const at = ({ x, y }: Point): string => `${n(x)} ${n(y)}`;
  const bends = rest.map((point, i) => {
    const following = rest[i + 1];
    if (following === undefined) return `L ${at(point)}`;
    return `Q ${at(point)} ${n((point.x + following.x) / 2)} ${n((point.y + following.y) / 2)}`;
  });
  const path = `<path d="M ${at(first)} ${bends.join(' ')}"/>`;
  if (label === undefined || text === undefined) return path;
  const width = widthOf([text]) + 8;
  return [
    path,
    `<rect class="paper" x="${n(label.x - width / 2)}" y="${n(label.y - 9)}" width="${n(width)}" height="18"/>`,
    `<text x="${n(label.x)}" y="${n(label.y + 4)}" text-anchor="middle">${xml(text)}</text>`,
  ].join('');
}

const n = (value: number): string => `${Math.round(value * 10) / 10}`;

/** A text in XML 1.0, which has no control characters, not even by number: they are shown as U+FFFD. */
const xml = (text: string): string =>
  text
    .replace(steering, (one) => (one === '\n' ? one : '\ufffd'))
    .replace(/[\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
