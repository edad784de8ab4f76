import { type Figure, figure, type Results, ratio } from './results.js';
import { type Agent, rows } from './rows.js';

const short = (value: number): string =>
  (value < 10 ? value.toFixed(2) : value.toFixed(0)).replace(/\.00$/, '');
const times = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)}×`;

/** A figure, and how far the medians of the turns lie apart. */
const spread = ({ median, least, greatest }: Figure, print: (value: number) => string): string =>
  least === greatest ? print(median) : `${print(median)} (${print(least)} to ${print(greatest)})`;

const against = (row: string): string => {
  const reference = rows[row]?.reference;
  if (reference === undefined) return '';
  if (reference === 'floor') return 'the floor';
  return reference.row === 'start.node' ? "Node's start" : (rows[reference.row]?.title ?? reference.row);
};

/** The whole table in Markdown. Rows that were not measured are left out. */
export function table({ samples, machine }: Results): string {
  const others = (['before', 'floor', 'stock'] as const).filter((agent) =>
    Object.values(samples).some((row) => row[agent] !== undefined),
  );
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const body = Object.entries(rows).flatMap(([row, { title, unit, goal, reference }]) => {
    const own = figure(samples[row]?.vifd);
    if (own === undefined) return [];
    const cell = (agent: Agent): string => {
      const one = figure(samples[row]?.[agent]);
      return one === undefined ? '' : short(one.median);
    };
    const compared = ratio(samples, row);
    return [
      line([
        title,
        `${spread(own, short)}${unit === '' ? '' : ` ${unit}`}`,
        ...others.map(cell),
        compared === undefined ? '' : `${spread(compared, times)} ${against(row)}`,
        goal === undefined ? '' : reference === undefined ? short(goal) : times(goal),
      ]),
    ];
  });
  const head = ['', 'vifd', ...others, 'ratio', 'goal'];
  return [line(head), `|---|${'---:|'.repeat(head.length - 1)}`, ...body, '', machine].join('\n');
}
