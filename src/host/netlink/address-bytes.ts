import { addressValue, formatAddress, type Network } from '../../model/address.js';

/** An address as bytes in network order, as netlink has it. */
export function addressBytes(network: Pick<Network, 'family' | 'address'>): Buffer {
  return Buffer.from(
    addressValue(network)
      .toString(16)
      .padStart(network.family === 6 ? 32 : 8, '0'),
    'hex',
  );
}

/** An address in network byte order, of either length, as text. */
export const formatBytes = (bytes: Buffer): string =>
  formatAddress(bytes.length === 4 ? 4 : 6, BigInt(`0x${bytes.toString('hex')}`));
