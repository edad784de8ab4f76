import { expect, test } from 'vitest';
import { inNamespace } from './in-namespace.js';

const [added, deleted] = [28, 29];

test('of neighbours those of one protocol number are told of, and all that are asked for', async () => {
  const told = (await inNamespace('neighbours')) as string[];
  // The deletion is told of twice: as a failure, and as that.
  expect(told).toEqual([`${added} 1`, `${added} 1`, `${added} 1`, `${deleted} 1`, 'row 3']);
});
