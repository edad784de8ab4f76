import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { limitsOf, printLimits } from '../../../src/model/limits.js';

const parse = (limit: string) => parseConfig(`[[vif]]\nlimit = { ${limit} }`, 'x.toml').vifs[0]?.limit ?? {};

test('limits are read in the words of tc, and shown in them', () => {
  const limit = parse(
    'from_guest = "100mbit", to_guest = "1gbit", burst = "1mb", packets = "20kpps", broadcast = "150pps"',
  );
  expect(limit).toEqual({
    fromGuest: 12_500_000,
    toGuest: 125_000_000,
    burst: 1_048_576,
    packets: 20_000,
    broadcast: 150,
  });
  expect(printLimits(limitsOf(limit))).toEqual([
    '100mbit from the guest',
    '1gbit to the guest',
    '20kpps from the guest',
    '150pps of broadcast and multicast',
  ]);
});

test('without burst there is room for two of the largest packets', () => {
  expect(limitsOf(parse('from_guest = "100mbit", to_guest = "64kbit", packets = "30pps"'))).toEqual({
    fromGuest: { perSecond: 12_500_000, burst: 131_072 },
    toGuest: { perSecond: 8000, burst: 131_072 },
    packets: { perSecond: 30, burst: 10 },
  });
});

test.each([
  'from_guest = "100"',
  'from_guest = "0mbit"',
  'from_guest = "100Mbit"',
  'packets = "20k"',
  'rate = "1mbit"',
])('%s is refused with the place', (limit) => {
  expect(() => parse(limit)).toThrow(/x\.toml: vif\[0\]\.limit\.(from_guest|packets|rate): /);
});
