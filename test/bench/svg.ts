/** A line of a plot: its name, and points. */
export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}
/** A bar of a chart, from one value to another. */
export interface Span {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

const colours = ['#1f6feb', '#d1242f', '#1a7f37', '#8250df', '#9a6700'];
const size = { width: 720, height: 360, left: 190, right: 90, top: 40, bottom: 48 };

const escaped = (text: string): string =>
  text.replace(/[&<>]/g, (each) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[each] as string);
const number = (value: number): string => String(Math.round(value * 100) / 100);
const label = (x: number, y: number, text: string, anchor = 'start'): string =>
  `<text x="${number(x)}" y="${number(y)}" text-anchor="${anchor}">${escaped(text)}</text>`;

function picture(title: string, body: readonly string[], height = size.height): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="16" y="22" font-size="15">${escaped(title)}</text>`,
    ...body,
    '</svg>\n',
  ].join('\n');
}

/** Round numbers from 0 up to this one or beyond: 1, 2 or 5 times a power of ten apart. */
export function ticks(most: number): number[] {
  const rough = (most > 0 ? most : 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((each) => each * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.ceil((most > 0 ? most : 1) / step) + 1 }, (_, i) => i * step);
}

/** A plot of lines, both axes from 0. */
export function linePlot(title: string, x: string, y: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const [xs, ys] = [ticks(Math.max(0, ...all.map(([x]) => x))), ticks(Math.max(0, ...all.map(([, y]) => y)))];
  const left = 60;
  const across = (value: number): number =>
    left + (value / (xs.at(-1) as number)) * (size.width - left - size.right - 60);
  const up = (value: number): number =>
    size.height - size.bottom - (value / (ys.at(-1) as number)) * (size.height - size.top - size.bottom);
  const [x0, y0] = [number(across(0)), number(up(0))];
  return picture(title, [
    ...ys.map(
      (tick) =>
        `<path d="M${x0} ${number(up(tick))}H${number(across(xs.at(-1) as number))}" stroke="#ddd"/>${label(left - 8, up(tick) + 4, number(tick), 'end')}`,
    ),
    ...xs.map((tick) => label(across(tick), up(0) + 18, number(tick), 'middle')),
    `<path d="M${x0} ${number(up(ys.at(-1) as number))}V${y0}" stroke="#888" fill="none"/>`,
    label(left - 8, size.top - 2, y, 'end'),
    label(across(xs.at(-1) as number), size.height - 10, x, 'end'),
    ...lines.flatMap(({ name, points }, i) => {
      const path = points.map(([x, y]) => `${number(across(x))} ${number(up(y))}`).join('L');
      const [lastX, lastY] = points.at(-1) ?? [0, 0];
      return [
        `<path d="M${path}" stroke="${colours[i % colours.length]}" stroke-width="2" fill="none"/>`,
        label(across(lastX) + 8, up(lastY) + 4, name),
      ];
    }),
  ]);
}

/** A chart of horizontal bars, one a row, with the length of each written beside it. */
export function barChart(title: string, unit: string, bars: readonly Span[]): string {
  const row = 24;
  const scale = ticks(Math.max(0, ...bars.map(({ to }) => to)));
  const most = scale.at(-1) as number;
  const across = (value: number): number =>
    size.left + (value / most) * (size.width - size.left - size.right);
  const bottom = size.top + bars.length * row;
  return picture(
    title,
    [
      ...scale.map(
        (tick) =>
          `<path d="M${number(across(tick))} ${size.top}V${bottom}" stroke="#ddd"/>${label(across(tick), bottom + 16, `${number(tick)}`, 'middle')}`,
      ),
      label(across(most), bottom + 32, unit, 'end'),
      ...bars.flatMap(({ name, from, to }, i) => {
        const y = size.top + i * row + 4;
        const width = Math.max(1, across(to) - across(from));
        return [
          label(size.left - 8, y + 12, name, 'end'),
          `<rect x="${number(across(from))}" y="${y}" width="${number(width)}" height="16" fill="${colours[0]}"/>`,
          label(across(to) + 6, y + 12, number(to - from)),
        ];
      }),
    ],
    bottom + 44,
  );
}
