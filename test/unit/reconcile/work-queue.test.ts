import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { WorkQueue } from '../../../src/reconcile/work-queue.js';

/** A queue whose jobs the test ends. */
function held() {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const queue = new WorkQueue(
    (key: string) => {
      started.push(key);
      return new Promise((resolve) => ends.set(key, resolve));
    },
    (key) => key,
  );
  const end = async (key: string): Promise<void> => {
    ends.get(key)?.();
    await turn();
  };
  return { queue, started, end };
}

test('additions before a run fold into one', async () => {
  const { queue, started } = held();
  for (let i = 0; i < 1000; i++) queue.add('vif5.0');
  await turn();
  expect(started).toEqual(['vif5.0']);
});

test('additions during a run fold into one more', async () => {
  const { queue, started, end } = held();
  queue.add('vif5.0');
  await turn();
  for (let i = 0; i < 1000; i++) queue.add('vif5.0');
  await turn();
  expect(started).toEqual(['vif5.0']);
  await end('vif5.0');
  expect(started).toEqual(['vif5.0', 'vif5.0']);
  await end('vif5.0');
  await queue.idle();
  expect(started).toHaveLength(2);
});

test('one key does not wait for another', async () => {
  const { queue, started, end } = held();
  queue.add('vif5.0');
  queue.add('vif6.0');
  await turn();
  queue.add('vif7.0');
  await turn();
  expect(started).toEqual(['vif5.0', 'vif6.0', 'vif7.0']);
  for (const key of started) await end(key);
});

test('idle waits for what runs and what it adds', async () => {
  const done: string[] = [];
  const queue: WorkQueue<string> = new WorkQueue<string>(
    async (key) => {
      await turn();
      if (key === 'all') queue.add('vif5.0');
      done.push(key);
    },
    (key) => key,
  );
  queue.add('all');
  await queue.idle();
  expect(done).toEqual(['all', 'vif5.0']);
  await queue.idle();
});

test('close ends what runs, forgets what waits and takes no more', async () => {
  const { queue, started, end } = held();
  queue.add('vif5.0');
  await turn();
  queue.add('vif5.0');
  const closed = queue.close();
  queue.add('vif6.0');
  await end('vif5.0');
  await closed;
  await turn();
  expect(started).toEqual(['vif5.0']);
});

test('jobs that end at once, any number of them, leave turns to the event loop', async () => {
  let done = 0;
  const queue = new WorkQueue(
    async () => {
      for (const end = performance.now() + 1; performance.now() < end; );
      done++;
    },
    (key: string) => key,
  );
  for (let i = 0; i < 100; i++) queue.add(`vif${i}.0`);
  await turn();
  await turn();
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(20);
  await queue.idle();
  expect(done).toBe(100);
});
