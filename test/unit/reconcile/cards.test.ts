import { expect, test } from 'vitest';
import { Cards } from '../../../src/reconcile/cards.js';
import { VifRecord } from '../../../src/reconcile/vif-record.js';
import { FakeClock } from '../../fake/clock.js';

const clock = new FakeClock();
const [own, emulated, other] = [5, 6, 7].map((domid) => new VifRecord({ domid, devid: 0 }, clock)) as [
  VifRecord,
  VifRecord,
  VifRecord,
];

test('vifs of one card are twins, and each hears of another that comes or goes', () => {
  const cards = new Cards();
  expect(cards.set(own, 'card')).toEqual([]);
  expect(cards.twins(own)).toEqual([]);
  expect(cards.set(emulated, 'card')).toEqual([own]);
  expect(cards.set(other, 'other')).toEqual([]);
  expect(cards.twins(own)).toEqual([emulated.id]);
  expect(cards.twins(emulated)).toEqual([own.id]);
  expect(cards.twins(other)).toEqual([]);
  // Nothing has changed.
  expect(cards.set(own, 'card')).toEqual([]);
  expect(cards.set(emulated, undefined)).toEqual([own]);
  expect(cards.twins(own)).toEqual([]);
  expect(cards.twins(emulated)).toEqual([]);
  expect(cards.set(emulated, undefined)).toEqual([]);
});

test('a vif that changes its card is told to those of both', () => {
  const cards = new Cards();
  cards.set(own, 'one');
  cards.set(emulated, 'one');
  cards.set(other, 'two');
  expect(cards.set(own, 'two')).toEqual([emulated, other]);
  expect(cards.twins(own)).toEqual([other.id]);
  expect(cards.twins(emulated)).toEqual([]);
});

test('the last vif of a card leaves nothing of it', () => {
  const cards = new Cards();
  cards.set(own, 'one');
  cards.set(own, undefined);
  expect(cards.set(emulated, 'one')).toEqual([]);
  expect(cards.twins(emulated)).toEqual([]);
});
