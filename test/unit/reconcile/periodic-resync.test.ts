import { expect, test } from 'vitest';
import { PeriodicResync } from '../../../src/reconcile/periodic-resync.js';
import { FakeClock } from '../../fake/clock.js';

test('a resync within a minute, never two at a time, and none after the stop', async () => {
  const ends: (() => void)[] = [];
  const clock = new FakeClock();
  const rounds = new PeriodicResync(() => new Promise((resolve) => ends.push(resolve)), clock, Math.random);
  await clock.pass(44_000);
  expect(ends).toHaveLength(0);
  await clock.pass(16_000);
  expect(ends).toHaveLength(1);
  await clock.pass(600_000);
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await clock.pass(60_000);
  expect(ends).toHaveLength(2);
  rounds.stop();
  ends[1]?.();
  await clock.pass(600_000);
  expect(ends).toHaveLength(2);
});

test.each([
  [0, 45_000],
  [0.5, 52_500],
  [0.999999, 60_000],
])('a random number of %d makes a pause of %d ms', async (random, ms) => {
  let count = 0;
  const clock = new FakeClock();
  const resync = new PeriodicResync(
    async () => void count++,
    clock,
    () => random,
  );
  await clock.pass(ms - 1);
  expect(count).toBe(0);
  await clock.pass(1);
  expect(count).toBe(1);
  resync.stop();
  expect(clock.timers).toBe(0);
});
