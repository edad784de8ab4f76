import { expect, test } from 'vitest';
import { parseResolvers } from '../../../../src/host/dhcp/resolvers.js';

test.each([
  ['nameserver 192.0.2.1', ['192.0.2.1']],
  ['nameserver 192.0.2.1 # of the site', ['192.0.2.1']],
  ['nameserver\t192.0.2.1\t; of the site', ['192.0.2.1']],
  ['nameserver 192.0.2.1#of the site', ['192.0.2.1']],
  ['nameserver 192.0.2.1 192.0.2.2', ['192.0.2.1']],
  ['nameserver 192.0.2.1\r\nnameserver 2001:db8::1%eth0\n', ['192.0.2.1', '2001:db8::1']],
  ['# nameserver 192.0.2.1\n;nameserver 192.0.2.1\nnameservers 192.0.2.1\n', []],
  ['nameserver\n192.0.2.1\n', []],
  ['nameserver 127.0.0.53 # the stub', []],
  ['nameserver 192.0.2.256\n', []],
])('%j names %j', (text, addresses) => {
  expect(parseResolvers([text])).toEqual(addresses);
});

test('the first text that has any counts', () => {
  expect(parseResolvers(['nameserver 127.0.0.53', 'nameserver 192.0.2.1 # uplink'])).toEqual(['192.0.2.1']);
});
