import { readFileSync } from 'node:fs';
import { formatAddress } from '../../model/address.js';
import type { ServedPort } from '../../model/filter.js';

/** A server's socket; without an address it is at every one of this domain. */
export interface Listening extends ServedPort {
  readonly address?: string;
}

const readText = (file: string): string => readFileSync(`/proc/net/${file}`, 'utf8');

/** The servers of this network namespace: sockets of TCP that listen (state 0A), those of UDP that are not connected (07). */
export function listeningSockets(read = readText): Listening[] {
  return (['tcp', 'tcp6', 'udp', 'udp6'] as const).flatMap((file) => {
    const protocol = file.startsWith('tcp') ? 'tcp' : 'udp';
    try {
      return [...read(file).matchAll(/^\s*\d+: ([\dA-F]{8,32}):([\dA-F]{4}) \S+ (07|0A) /gm)].flatMap(
        ([, address = '', port = '', state]) =>
          (state === '0A') === (protocol === 'tcp')
            ? [{ protocol, port: Number.parseInt(port, 16), ...addressOf(address) } as const]
            : [],
      );
    } catch {
      // Without IPv6 there are no files of it.
      return [];
    }
  });
}

/** An address as the kernel prints it there: words of 32 bits in the machine's byte order. */
function addressOf(hex: string): { address?: string } {
  const bytes = Buffer.from(hex, 'hex');
  const value = BigInt(`0x${isLittleEndian ? bytes.swap32().toString('hex') : hex}`);
  return value === 0n ? {} : { address: formatAddress(bytes.length === 4 ? 4 : 6, value) };
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
