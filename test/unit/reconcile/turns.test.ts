import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turns } from '../../../src/reconcile/turns.js';

const work = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

test('work that is due at once begins in order, in as many turns of the event loop as it needs', async () => {
  const turns = new Turns();
  const begun: number[] = [];
  const done = Array.from({ length: 50 }, async (_, i) => {
    await turns.take();
    begun.push(i);
    work(0.5);
  });
  let most = 0;
  for (let before = 0; begun.length < 50; before = begun.length) {
    await turn();
    most = Math.max(most, begun.length - before);
  }
  await Promise.all(done);
  expect(begun).toEqual(Array.from({ length: 50 }, (_, i) => i));
  expect(most).toBeLessThanOrEqual(10);
});

test('work that asks alone begins without a turn of the event loop', async () => {
  const turns = new Turns();
  let isTurned = false;
  setImmediate(() => {
    isTurned = true;
  });
  await turns.take();
  expect(isTurned).toBe(false);
});
