import { expect, test } from 'vitest';
import { shorten } from '../../walk/shorten.js';

const numbers = Array.from({ length: 40 }, (_, i) => i);
const has =
  (...wanted: number[]) =>
  async (list: readonly number[]): Promise<boolean> =>
    wanted.every((one) => list.includes(one));

test.each([[[39]], [[0, 39]], [[3, 17, 39]], [[0, 1, 2, 20, 37, 38, 39]]])(
  'of a list that fails for %j these are left, in their order',
  async (wanted) => {
    expect(await shorten(numbers, has(...wanted))).toEqual(wanted);
  },
);

test('no step can be left out of what is found, though there are shorter lists', async () => {
  // It fails with either of two pairs, and 39.
  const fails = async (list: readonly number[]): Promise<boolean> =>
    list.includes(39) && ((list.includes(1) && list.includes(2)) || (list.includes(30) && list.includes(35)));
  const found = await shorten(numbers, fails);
  for (const left of found) expect(await fails(found.filter((one) => one !== left))).toBe(false);
  expect(await fails(found)).toBe(true);
});

test('nothing is tried twice, and it ends when it is enough', async () => {
  const tried: string[] = [];
  const lengths: number[] = [];
  const fails = async (list: readonly number[]): Promise<boolean> => {
    tried.push(list.join());
    return await has(5, 25, 39)(list);
  };
  await shorten(numbers, fails, { shorter: (length) => lengths.push(length) });
  expect(new Set(tried).size).toBe(tried.length);
  expect(lengths).toEqual([...lengths].sort((a, b) => b - a));

  const found = await shorten(numbers, has(5, 25, 39), { enough: () => true });
  expect(found).toEqual(numbers);
});
