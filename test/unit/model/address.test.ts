import { describe, expect, test } from 'vitest';
import {
  formatIpv4,
  formatIpv6,
  formatNetwork,
  linkLocalOf,
  parseIpv4,
  parseIpv6,
  parseNetwork,
} from '../../../src/model/address.js';
import { isUnusableMac, parseMac } from '../../../src/model/mac.js';

describe('MAC addresses', () => {
  test.each([
    ['00:16:3e:00:00:01', '00:16:3e:00:00:01'],
    ['00:16:3E:AB:cd:EF', '00:16:3e:ab:cd:ef'],
    ['00:16:3e:00:00', undefined],
    ['00:16:3e:00:00:01:02', undefined],
    ['00-16-3e-00-00-01', undefined],
    ['0:16:3e:0:0:1', undefined],
    ['00:16:3e:00:00:0g', undefined],
    [' 00:16:3e:00:00:01', undefined],
    ['00:16:3e:00:00:01\n', undefined],
    ['', undefined],
  ])('%j is %j', (text, mac) => expect(parseMac(text)).toBe(mac));

  test.each([
    ['00:16:3e:00:00:01', false],
    ['fe:ff:ff:ff:ff:ff', false],
    ['00:00:00:00:00:00', true],
    ['01:00:5e:00:00:01', true],
    ['ff:ff:ff:ff:ff:ff', true],
    ['33:33:00:00:00:01', true],
  ])('%s unusable: %s', (mac, unusable) => expect(isUnusableMac(mac)).toBe(unusable));
});

describe('IPv4', () => {
  test.each([
    ['0.0.0.0', 0n],
    ['10.0.0.1', 0x0a000001n],
    ['255.255.255.255', 0xffffffffn],
  ])('%s reads as a number and back', (text, value) => {
    expect(parseIpv4(text)).toBe(value);
    expect(formatIpv4(value)).toBe(text);
  });

  test.each([
    '10.0.0',
    '10.0.0.0.1',
    '10.0.0.256',
    '10.0.0.01',
    '10.0.0.-1',
    '10.0.0.',
    '0x0a.0.0.1',
    '1e1.0.0.1',
    '',
  ])('%j is none', (text) => expect(parseIpv4(text)).toBeUndefined());
});

describe('IPv6', () => {
  test.each([
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8::0001', '2001:db8::1'],
    ['fe80::1', 'fe80::1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    // RFC 5952, 4.2.2: one group of zeros is not shortened.
    ['1:2:3:4:5:6::8', '1:2:3:4:5:6:0:8'],
    // RFC 5952, 4.2.3: the longest run, the first of equals.
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4:5:6:c000:201'],
  ])('%s is written %s', (text, canonical) => {
    const value = parseIpv6(text);
    expect(value).toBeDefined();
    expect(formatIpv6(value ?? 0n)).toBe(canonical);
    expect(parseIpv6(canonical)).toBe(value);
  });

  test.each([
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '12345::',
    'g::',
    '::192.0.2.256',
    '1:2:3:4:5:6:7:192.0.2.1',
    '192.0.2.1::',
    'fe80::1%eth0',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '',
  ])('%j is none', (text) => expect(parseIpv6(text)).toBeUndefined());
});

describe('networks', () => {
  test.each([
    ['10.0.0.5', { family: 4, address: '10.0.0.5', prefix: 32 }, '10.0.0.5'],
    ['10.0.0.5/24', { family: 4, address: '10.0.0.5', prefix: 24 }, '10.0.0.5/24'],
    ['0.0.0.0/0', { family: 4, address: '0.0.0.0', prefix: 0 }, '0.0.0.0/0'],
    ['2001:DB8::1', { family: 6, address: '2001:db8::1', prefix: 128 }, '2001:db8::1'],
    ['2001:db8::/64', { family: 6, address: '2001:db8::', prefix: 64 }, '2001:db8::/64'],
  ] as const)('%s', (text, network, printed) => {
    expect(parseNetwork(text)).toEqual(network);
    expect(formatNetwork(network)).toBe(printed);
  });

  test.each([
    '10.0.0.5/33',
    '10.0.0.5/',
    '10.0.0.5/-1',
    '10.0.0.5/24/1',
    '10.0.0.5/255.0.0.0',
    '::/129',
    '/24',
    'host',
    '',
  ])('%j is none', (text) => expect(parseNetwork(text)).toBeUndefined());
});

test('derives the link-local address from the MAC', () => {
  expect(linkLocalOf('00:16:3e:0a:05:00').address).toBe('fe80::0216:3eff:fe0a:0500');
});
