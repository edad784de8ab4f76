import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { figure, type Results } from './results.js';
import { rows } from './rows.js';
import { barChart, type Line, linePlot } from './svg.js';
import { table } from './table.js';

const page = (file: string): string => fileURLToPath(new URL(`../../docs/develop/${file}`, import.meta.url));
const [begin, end] = ['<!-- measured: written by "npm run bench -- --write" -->', '<!-- end -->'];

/** What a run makes of the documents: files and their contents. */
export function document(results: Results): [file: string, content: string][] {
  const { samples, timeline } = results;
  const of = (row: string, agent: 'vifd' | 'floor' | 'stock' = 'vifd'): number | undefined =>
    figure(samples[row]?.[agent])?.median;
  const text = readFileSync(page('benchmarks.md'), 'utf8');
  const [head = '', rest = ''] = text.split(begin);
  const tail = rest.slice(rest.indexOf(end));
  const line = (name: string, points: [number, string][]): Line => ({
    name,
    points: points.flatMap(([x, row]) => {
      const y = of(row);
      return y === undefined ? [] : [[x, y] as const];
    }),
  });
  const beside = (shape: string): [number, string][] => [
    [8, `next.${shape}`],
    [100, `${shape}.100`],
    [300, `${shape}.300`],
    [1000, `${shape}.1000`],
  ];
  const bursts = (['plain', 'ipv4'] as const).flatMap((shape) =>
    (['vifd', 'floor', 'stock'] as const).flatMap((agent) => {
      const to = of(`burst.${shape}`, agent);
      return to === undefined ? [] : [{ name: `${rows[`next.${shape}`]?.title}: ${agent}`, from: 0, to }];
    }),
  );
  return [
    [page('benchmarks.md'), `${head}${begin}\n\n${table(results)}\n\n${tail}`],
    [
      page('benchmarks/beside.svg'),
      linePlot('The next vif, by the number that is present', 'vifs present', 'ms', [
        line('plain', beside('plain')),
        line('IPv4', beside('ipv4')),
        line('NAT', [
          [8, 'next.nat'],
          [400, 'nat.400'],
        ]),
      ]),
    ],
    [page('benchmarks/bursts.svg'), barChart('64 vifs at once', 'ms', bursts)],
    [
      page('benchmarks/timeline.svg'),
      barChart(
        'One attach of a vif with an IPv4 address',
        'ms from its keys',
        timeline.map(({ what, from, to }) => ({ name: what, from: Math.max(0, from), to })),
      ),
    ],
  ];
}
