import { expect, test } from 'vitest';
import { ago, bytes, lines, table } from '../../../src/cli/table.js';

test('columns are aligned, and lines have no blanks at their end', () => {
  expect(table([['VIF', 'STATE', ''], ['vif5.0', 'up', 'x'], ['only']])).toBe(
    'VIF     STATE\nvif5.0  up     x\nonly\n',
  );
  expect(table([])).toBe('');
});

test('a text is one line, whatever is in it', () => {
  expect(lines(['one\ntwo', '\x1b[2J\u202e'])).toBe('one\\u000atwo\n\\u001b[2J\\u202e\n');
});

test.each([
  [-5, '0s'],
  [0, '0s'],
  [119, '119s'],
  [120, '2m'],
  [7199, '119m'],
  [7200, '2h'],
  [172_799, '47h'],
  [172_800, '2d'],
])('%d s ago', (seconds, text) => {
  const now = Date.parse('2026-01-01T00:00:00.000Z');
  expect(ago(new Date(now - seconds * 1000).toISOString(), now)).toBe(text);
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [12_345, '12.3 kB'],
  [4_500_000_000, '4.5 GB'],
  [1e18, '1000000.0 TB'],
])('%d bytes', (count, text) => expect(bytes(count)).toBe(text));
