import { expect, it } from 'vitest';
import { type Network, parseNetwork } from '../../../src/model/address.js';
import { ranges } from '../../../src/nft/ranges.js';

const networks = (text: string): Network[] => text.split(' ').map((item) => parseNetwork(item) as Network);

it('makes ranges of networks, without those inside of others, and host bits dropped', () => {
  expect(ranges(networks('10.0.1.7/24 10.0.0.5 10.0.1.9 10.0.1.0/25 2001:db8::/64'), 4)).toEqual([
    { first: 0x0a000005n, last: 0x0a000005n },
    { first: 0x0a000100n, last: 0x0a0001ffn },
  ]);
  expect(ranges(networks('0.0.0.0/0 10.0.0.1'), 4)).toEqual([{ first: 0n, last: 0xffffffffn }]);
});
