import { etherTypes } from './frames.js';

/** What of a packet neither a router nor a masquerade changes, in hex; all that is tried differs in it. */
export function signature(frame: string): string {
  const bytes = Buffer.from(frame, 'hex');
  const packet = bytes.subarray(14);
  const is = (type: number): boolean => bytes.readUInt16BE(12) === type;
  if (is(etherTypes.ip)) {
    const [id, rest] = [packet.subarray(4, 6), packet.subarray(packet.readUInt8(9) === 17 ? 22 : 20)];
    return Buffer.concat([id, packet.subarray(16, 20), rest]).toString('hex');
  }
  if (!is(etherTypes.ip6)) return frame;
  const rest = packet.subarray(packet.readUInt8(6) === 17 ? 42 : 40);
  return Buffer.concat([packet.subarray(6, 7), packet.subarray(24, 40), rest]).toString('hex');
}
