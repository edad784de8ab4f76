import { addressValue, type Network } from '../../model/address.js';

/** An address as bytes in network order, as netlink has it. */
export function addressBytes(network: Pick<Network, 'family' | 'address'>): Buffer {
  return Buffer.from(
    addressValue(network)
      .toString(16)
      .padStart(network.family === 6 ? 32 : 8, '0'),
    'hex',
  );
}
