import { expect, test } from 'vitest';
import { inNamespace } from './in-namespace.js';

const weather = (...args: string[]): Promise<unknown> => inNamespace('storm', ...args);

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
