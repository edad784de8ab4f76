import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PeriodicResync } from '../../../src/reconcile/periodic-resync.js';
import { systemClock } from '../../../src/reconcile/system-clock.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a resync within a minute, never two at a time, and none after the stop', async () => {
  const ends: (() => void)[] = [];
  const rounds = new PeriodicResync(() => new Promise((resolve) => ends.push(resolve)), systemClock);
  await vi.advanceTimersByTimeAsync(44_000);
  expect(ends).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(16_000);
  expect(ends).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ends).toHaveLength(2);
  rounds.stop();
  ends[1]?.();
  await vi.advanceTimersByTimeAsync(600_000);
  expect(ends).toHaveLength(2);
});
