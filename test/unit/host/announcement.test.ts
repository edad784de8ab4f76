import { expect, test } from 'vitest';
import { announcement } from '../../../src/host/announcement.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('an IPv4 address is announced by a request of ARP for itself, to all', () => {
  const { protocol, to, data } = announcement(
    { family: 4, address: '192.0.2.5', prefix: 32 },
    '02:00:00:00:00:01',
  );
  expect(protocol).toBe(0x806);
  expect(hex(to)).toBe('ffffffffffff');
  expect(hex(data)).toBe('0001080006040001020000000001c0000205000000000000c0000205');
});

test('an IPv6 address by an advertisement that overrides, with a checksum of the pseudo header', () => {
  const { protocol, to, data } = announcement(
    { family: 6, address: '2001:db8::5', prefix: 128 },
    '02:00:00:00:00:01',
  );
  expect(protocol).toBe(0x86dd);
  expect(hex(to)).toBe('333300000001');
  const [header, source, destination, message] = [0, 8, 24, 40].map((at, i, all) =>
    hex(data.subarray(at, all[i + 1])),
  );
  expect(header).toBe('6000000000203aff');
  expect([source, destination]).toEqual([
    '20010db8000000000000000000000005',
    'ff020000000000000000000000000001',
  ]);
  expect(message).toMatch(/^8800....a000000020010db80000000000000000000000050201020000000001$/);
  // Over the pseudo header and the message with its checksum the sum is all ones (RFC 1071).
  let sum = 0x20 + 58;
  for (let at = 8; at < data.length; at += 2) sum += Buffer.from(data).readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  expect(sum).toBe(0xffff);
});
