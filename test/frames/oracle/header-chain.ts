import { protocols } from './protocols.js';

/** What is behind an IPv6 packet's header. */
export interface Chain {
  /** The extension headers, in order, up to a fragment's that is not the first. */
  readonly headers: readonly number[];
  /** The next header of the last one. */
  readonly protocol: number;
  /** What follows in the frame, padding included; of a later fragment, its part of something. */
  readonly transport: Buffer;
  /** It is a fragment that is not the first. */
  readonly isLater: boolean;
}

const withLength = new Set<number>([protocols.hopByHop, protocols.routing, protocols.destination]);

/** Walks the extension headers (RFC 8200, 4); undefined when one of them ends behind the frame. */
export function headerChain(first: number, payload: Buffer): Chain | undefined {
  const headers: number[] = [];
  let [protocol, rest, isLater] = [first, payload, false];
  while (!isLater && (protocol === protocols.fragment || withLength.has(protocol))) {
    if (rest.length < 8) return undefined;
    headers.push(protocol);
    const isFragment = protocol === protocols.fragment;
    const length = isFragment ? 8 : 8 * (rest.readUInt8(1) + 1);
    if (length > rest.length) return undefined;
    isLater = isFragment && rest.readUInt16BE(2) >> 3 !== 0;
    protocol = rest.readUInt8(0);
    rest = rest.subarray(length);
  }
  return { headers, protocol, transport: rest, isLater };
}
