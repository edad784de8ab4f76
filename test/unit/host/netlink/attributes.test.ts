import { expect, test } from 'vitest';
import { eachAttribute } from '../../../../src/host/netlink/attributes.js';

/** Two attributes, the second nested and of five bytes with its padding, after a header of four bytes. */
const message = Buffer.from('aaaaaaaa' + '08000400' + '01020304' + '09000c80' + '0102030405000000', 'hex');

const read = (data: Buffer, start = 4, end?: number): string[] => {
  const found: string[] = [];
  eachAttribute(
    data,
    start,
    (type, at, length) => found.push(`${type} ${data.toString('hex', at, at + length)}`),
    end,
  );
  return found;
};

test('attributes come in order, with their types without flags and their values without padding', () => {
  expect(read(message)).toEqual(['4 01020304', '12 0102030405']);
  expect(read(message, 4, 12)).toEqual(['4 01020304']);
  expect(read(message, message.length)).toEqual([]);
});

test('the last one may come without its padding', () => {
  expect(read(message.subarray(0, message.length - 3))).toEqual(['4 01020304', '12 0102030405']);
});

test.each([
  ['its value', message.subarray(0, message.length - 4)],
  ['its header', message.subarray(0, 14)],
  ['a length that is less than the header', Buffer.from('0300000000000000', 'hex')],
])('an attribute that is cut in %s is an error, and does not loop', (_where, data) => {
  expect(() => read(data, data.length === 8 ? 0 : 4)).toThrow(/cut at byte \d+/);
});
