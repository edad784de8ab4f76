import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { reportHealth, summary } from '../../../src/observe/health.js';

const told: string[] = [];
vi.mock('node-libsystemd', () => ({ notify: (state: string) => told.push(state) }));

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubEnv('WATCHDOG_USEC', '30000000');
  told.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** How often the watchdog was fed in this many seconds. */
async function fed(seconds: number): Promise<number> {
  told.length = 0;
  await vi.advanceTimersByTimeAsync(seconds * 1000);
  return told.filter((state) => state.includes('WATCHDOG=1')).length;
}

const never = new Promise<never>(() => undefined);

type Ask = () => Promise<void>;

test.each<[what: string, check: Ask, probe: Ask, times: number, silent: boolean[]]>([
  ['xenstored answers', async () => undefined, () => never, 6, []],
  ['it refuses', () => Promise.reject(new Error('EACCES')), () => never, 6, []],
  ['it does not answer, on no connection', () => never, () => never, 6, [true]],
  ['it is away', () => never, () => Promise.reject(new Error('ECONNREFUSED')), 6, [true]],
  ["it answers, and not on the daemon's connection", () => never, async () => undefined, 0, [true]],
])('%s', async (_, check, probe, times, silent) => {
  const said: boolean[] = [];
  const health = reportHealth({
    check,
    probe,
    phases: () => ['attached'],
    silent: (isSilent) => void said.push(isSilent),
  });
  await fed(20);
  expect(await fed(60)).toBe(times);
  expect(said).toEqual(silent);
  health.stop();
});

test('what does not answer for a while and then does is said once each, and fed all the time', async () => {
  let answer: () => void = () => undefined;
  const said: boolean[] = [];
  const health = reportHealth({
    check: () => new Promise<void>((resolve) => (answer = resolve)),
    probe: () => never,
    phases: () => [],
    silent: (isSilent) => void said.push(isSilent),
  });
  expect(await fed(60)).toBe(6);
  answer();
  expect(await fed(10)).toBe(1);
  answer();
  expect(said).toEqual([true, false]);
  health.stop();
});

test.each([
  [[], '0 vifs'],
  [['attached'], '1 vif: 1 attached'],
  [['attached', 'failed', 'attached'], '3 vifs: 2 attached, 1 failed'],
])('%j is "%s"', (phases, text) => expect(summary(phases)).toBe(text));
