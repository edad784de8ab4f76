import { expect, test } from 'vitest';
import { bits, Rates, rateBetween } from '../../../src/cli/rate.js';

const counted = (rxBytes: number, txBytes: number) => ({
  rxBytes,
  txBytes,
  rxPackets: 0,
  txPackets: 0,
  rxDropped: 0,
  txDropped: 0,
});

test('bits a second between two readings; none where another netdev counts from 0', () => {
  expect(rateBetween(counted(1000, 50), counted(2000, 50), 2)).toEqual({ fromGuest: 4000, toGuest: 0 });
  expect(rateBetween(counted(1000, 50), counted(0, 60), 2)).toBeUndefined();
  expect(rateBetween(null, counted(0, 60), 2)).toBeUndefined();
  expect(rateBetween(counted(0, 0), null, 2)).toBeUndefined();
});

test.each([
  [0, '0 bit/s'],
  [0.4, '0 bit/s'],
  [999, '999 bit/s'],
  [1000, '1.0 kbit/s'],
  [12_345_678, '12.3 Mbit/s'],
  [4.2e10, '42.0 Gbit/s'],
  [1e13, '10000.0 Gbit/s'],
])('%d bits a second are %s', (perSecond, text) => {
  expect(bits(perSecond)).toBe(text);
});

test('look after look: the rates of vifs that were there before', () => {
  const rates = new Rates();
  const look = (at: number, vifs: Record<string, ReturnType<typeof counted> | null>) =>
    Object.fromEntries(
      rates.since(
        Object.entries(vifs).map(([vif, traffic]) => ({ vif, traffic })),
        at,
      ),
    );
  expect(look(5000, { 'vif5.0': counted(0, 0), 'vif6.0': null })).toEqual({});
  expect(look(7000, { 'vif5.0': counted(500, 1000), 'vif6.0': counted(9, 9) })).toEqual({
    'vif5.0': { fromGuest: 2000, toGuest: 4000 },
  });
  expect(look(8000, { 'vif6.0': counted(10, 9) })).toEqual({ 'vif6.0': { fromGuest: 8, toGuest: 0 } });
});
