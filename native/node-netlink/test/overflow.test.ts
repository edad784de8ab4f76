import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';

const storm = fileURLToPath(new URL('storm.ts', import.meta.url));
const namespace = `netlink-thread-${process.pid}`;
const run = promisify(execFile);

beforeEach(() => run('ip', ['netns', 'add', namespace]));
afterEach(() => run('ip', ['netns', 'delete', namespace]));

async function weather(...args: string[]): Promise<unknown> {
  const node = [process.execPath, '--import', 'tsx', storm, ...args];
  // tsx would leave its cache in the directory for temporary files.
  const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
  const { stdout } = await run('ip', ['netns', 'exec', namespace, ...node], { timeout: 30_000, env });
  return JSON.parse(stdout);
}

test('an overflow is an event, and requests are answered after it', async () => {
  expect(await weather('1', '100')).toEqual({
    messages: expect.any(Number),
    overflows: expect.toSatisfy((count: number) => count > 0),
    answered: true,
    mostAtOnce: expect.any(Number),
  });
});

test('while JavaScript is busy nothing is lost, and what waits comes in more than one turn of its loop', async () => {
  expect(await weather()).toEqual({
    messages: expect.toSatisfy((count: number) => count > 1000),
    overflows: 0,
    answered: true,
    // What Node reads at once, and the rest of a datagram from before.
    mostAtOnce: expect.toSatisfy((bytes: number) => bytes <= 96 << 10),
  });
});
