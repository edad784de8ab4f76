import type { Network } from '../../model/address.js';
import { ourProtocol } from '../../model/route.js';
import { formatBytes } from '../netlink/address-bytes.js';
import { parseAttributes } from '../netlink/format.js';
import { family } from './link-message.js';

// Numbers of linux/rtnetlink.h and linux/neighbour.h.
export const rtmNeigh = { add: 28, delete: 29, get: 30 };
export const nda = { dst: 1, lladdr: 2, protocol: 12 };
export const nudPermanent = 0x80;
export const ntfProxy = 0x08;

/** Our permanent neighbour entries, by device. */
export class NeighbourState {
  readonly #byDevice = new Map<number, Map<string, string>>();

  /** The MAC address for each address on a device. */
  of(index: number): ReadonlyMap<string, string> {
    return this.#byDevice.get(index) ?? new Map();
  }

  /** Takes in an entry that was made or changed, or, without a MAC address, deleted. */
  set(index: number, address: string, mac: string | undefined): void {
    const of = this.#byDevice.get(index) ?? new Map<string, string>();
    this.#byDevice.set(index, of);
    if (mac === undefined) of.delete(address);
    else of.set(address, mac);
  }

  /** Takes in that a device's entries have gone, all or those of one family. */
  forget(index: number, version?: 4 | 6): void {
    if (version === undefined) this.#byDevice.delete(index);
    const of = this.#byDevice.get(index);
    for (const address of of?.keys() ?? []) {
      if (address.includes(':') === (version === 6)) of?.delete(address);
    }
  }
}

/** An entry of ours, as a RTM_NEWNEIGH or RTM_DELNEIGH tells of it. */
export interface DecodedNeighbour {
  readonly index: number;
  readonly address: Network;
  readonly mac: string | undefined;
  /** It stays as it is; one that has been deleted is told of as one that has failed. */
  readonly permanent: boolean;
  /** It is a proxy entry: the address is answered for at the device. */
  readonly proxy: boolean;
}

/** The entry of a RTM_NEWNEIGH or RTM_DELNEIGH; undefined for one that is not ours. */
export function decodeNeighbour(data: Buffer): DecodedNeighbour | undefined {
  const number = data.readUInt8(0);
  const permanent = (data.readUInt16LE(8) & nudPermanent) !== 0;
  const proxy = (data.readUInt8(10) & ntfProxy) !== 0;
  if (number !== family.inet && number !== family.inet6) return undefined;
  let address: string | undefined;
  let mac: string | undefined;
  let ours = false;
  parseAttributes(data.subarray(12), ({ type, data: value }) => {
    if (type === nda.dst) address = formatBytes(value);
    else if (type === nda.lladdr) mac = value.toString('hex').replace(/(..)(?=.)/g, '$1:');
    else if (type === nda.protocol) ours = value.readUInt8(0) === ourProtocol;
  });
  if (!ours || address === undefined) return undefined;
  const host: Network =
    number === family.inet ? { family: 4, address, prefix: 32 } : { family: 6, address, prefix: 128 };
  return { index: data.readInt32LE(4), address: host, mac, permanent, proxy };
}
