import { type Guest, isMacOf, owns } from './guest.js';
import type { Packet6 } from './ipv6.js';
import { drop, type Judgement, pass } from './judgement.js';

const [routerSolicitation, solicitation, advertisement] = [133, 135, 136];
const [sourceAddress, targetAddress, nonce] = [1, 2, 14];

/** Whether an ICMPv6 type is one of RFC 4861. */
export const isDiscovery = (type: number): boolean => type >= 133 && type <= 137;

/** Neighbour discovery, without extension headers (RFC 6980), from this link, with one option or none. */
export function judgeDiscovery({ chain, hopLimit, source, length }: Packet6, guest: Guest): Judgement {
  const message = chain.transport.subarray(0, length);
  const type = chain.transport.readUInt8(0);
  if (type === 134 || type === 137) return drop('of a router');
  if (chain.headers.length > 0) return drop('discovery behind another header');
  if (hopLimit !== 255) return drop('discovery from afar');
  const isUnspecified = source.every((byte) => byte === 0);
  const fixed = type === routerSolicitation ? 8 : 24;
  if (message.length < fixed) return drop('discovery that ends early');
  const options = message.subarray(fixed);
  const target = message.subarray(8, 24);
  const only = (option: number): boolean =>
    options.length === 8 && options.readUInt8(0) === option && options.readUInt8(1) === 1;
  const linkLayer = (option: number): boolean =>
    options.length === 0 || (only(option) && isMacOf(guest, options.subarray(2)));

  if (type === routerSolicitation) {
    const fits = isUnspecified ? options.length === 0 : linkLayer(sourceAddress);
    return fits ? pass('router solicitation') : drop('options of a router solicitation');
  }
  if (type === solicitation && isUnspecified) {
    if (!owns(guest, target)) return drop("detection of another's address");
    const fits = options.length === 0 || only(nonce);
    return fits ? pass('duplicate address detection') : drop('options of a detection');
  }
  if (type === solicitation) {
    return linkLayer(sourceAddress) ? pass('neighbour solicitation') : drop('options of a solicitation');
  }
  if (isUnspecified || type !== advertisement) return drop('from ::');
  if (!owns(guest, target)) return drop("advertisement of another's address");
  return linkLayer(targetAddress) ? pass('neighbour advertisement') : drop('options of an advertisement');
}
