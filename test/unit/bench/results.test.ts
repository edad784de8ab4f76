import { expect, test } from 'vitest';
import { figure, ratio, type Samples, worsened } from '../../bench/results.js';
import { barChart, linePlot, ticks } from '../../bench/svg.js';
import { table } from '../../bench/table.js';

const samples: Samples = {
  'next.plain': {
    vifd: [
      [2, 3, 2],
      [4, 4, 9],
    ],
    floor: [
      [1, 1, 1],
      [1, 2, 2],
    ],
    stock: [[50], [60]],
  },
  'next.ipv4': { vifd: [[3], [6]] },
  'birth.messages': { vifd: [[20]] },
};

test('a figure is the median, between those of the turns', () => {
  expect(figure(samples['next.plain']?.vifd)).toEqual({ median: 4, least: 2, greatest: 4 });
  expect(figure([])).toBeUndefined();
});

test('a ratio is taken turn by turn; each attach is held against the same floor', () => {
  expect(ratio(samples, 'next.plain')).toEqual({ median: 2, least: 2, greatest: 2 });
  expect(ratio(samples, 'next.ipv4')).toEqual({ median: 3, least: 3, greatest: 3 });
  expect(ratio(samples, 'birth.messages')).toBeUndefined();
});

test('a quarter more is worse: of a ratio, and of a count', () => {
  const slower = { ...samples, 'next.ipv4': { vifd: [[3.75], [7.5]] }, 'birth.messages': { vifd: [[24]] } };
  expect(worsened(samples, slower)).toEqual([{ row: 'next.ipv4', before: 3, now: 3.75 }]);
  expect(worsened(samples, { 'birth.messages': { vifd: [[25]] } }).map(({ row }) => row)).toEqual([
    'birth.messages',
  ]);
  // A machine of half the speed.
  const doubled = { 'next.plain': { vifd: [[4]], floor: [[2]] } };
  expect(worsened(samples, doubled)).toEqual([]);
});

test('a table has what was measured, and what it is held against', () => {
  const text = table({ machine: 'a machine', samples, timeline: [] });
  expect(text).toContain('| the next vif, plain | 4 (2 to 4) ms | 2 | 60 | 2.0× the floor | 2.0× |');
  expect(text).toContain('| a birth: messages to xenstored | 20 |  |  |  | 12 |');
  expect(text).not.toContain('NAT');
});

test('plots: axes by round numbers, names escaped', () => {
  expect(ticks(7)).toEqual([0, 2, 4, 6, 8]);
  expect(ticks(0)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  const plot = linePlot('of <vifs>', 'vifs', 'ms', [
    {
      name: 'a',
      points: [
        [0, 0],
        [10, 5],
      ],
    },
  ]);
  expect(plot).toContain('of &lt;vifs&gt;');
  // From the lower left to the upper right corner of the axes.
  expect(plot).toContain('<path d="M60 312L570 40"');
  const chart = barChart('bars', 'ms', [{ name: 'b', from: 1, to: 3 }]);
  expect(chart).toMatch(/<rect x="336.67" y="44" width="293.33"/);
});
