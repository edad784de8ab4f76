import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LossyLog } from '../../../src/observe/lossy-log.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A log whose destination takes `room` lines, then none until it has room again. */
function log(): { readonly log: LossyLog; readonly sent: string[]; room: number } {
  const to = { sent: [] as string[], room: Number.POSITIVE_INFINITY };
  const send = (line: string): boolean => {
    if (to.room <= 0) return false;
    to.room--;
    to.sent.push(line);
    return true;
  };
  return Object.assign(to, { log: new LossyLog(send) });
}

test('what is not taken now comes later, in order', () => {
  const to = log();
  to.room = 1;
  for (const line of ['a', 'b', 'c']) to.log.write(line);
  expect(to.sent).toEqual(['a']);
  to.room = Number.POSITIVE_INFINITY;
  to.log.write('d');
  vi.advanceTimersByTime(20);
  expect(to.sent).toEqual(['a', 'b', 'c', 'd']);
});

test('beyond a megabyte lines are lost, counted, and told before the next', () => {
  const to = log();
  to.room = 0;
  const line = 'x'.repeat(1 << 18);
  for (let i = 0; i < 7; i++) to.log.write(line);
  to.log.write('short, but after one that was lost');
  vi.advanceTimersByTime(60_000);
  to.room = Number.POSITIVE_INFINITY;
  vi.advanceTimersByTime(1000);
  to.log.write('next');
  expect(to.sent).toHaveLength(6);
  expect(to.sent.slice(0, 4)).toEqual([line, line, line, line]);
  expect(JSON.parse(to.sent[4] ?? '')).toMatchObject({ level: 'warn', msg: 'log lines lost', lost: 4 });
  expect(to.sent[5]).toBe('next');
});

test('a destination that has room for a few at a time gets all, and the count once', () => {
  const to = log();
  to.room = 0;
  for (let i = 0; i < 6; i++) to.log.write('x'.repeat(1 << 18));
  for (let i = 0; i < 5; i++) {
    to.room = 1;
    vi.advanceTimersByTime(1000);
  }
  expect(to.sent.map((line) => line.includes('"lost":2'))).toEqual([false, false, false, false, true]);
});
