import { protocols } from './oracle/protocols.js';

const names = new Map(Object.entries(protocols).map(([name, number]) => [number as number, name]));
const name = (protocol: number): string => names.get(protocol) ?? `protocol ${protocol}`;

/** A frame in words, as far as it goes: addresses, header chain, what is behind it. */
export function decode(frame: Buffer): string {
  const [target, source, type] = [mac(frame, 0), mac(frame, 6), frame.readUInt16BE(12)];
  return [`${source} to ${target}`, ...packet(type, frame.subarray(14))].join(', ');
}

const mac = (frame: Buffer, at: number): string =>
  (frame.toString('hex', at, at + 6).match(/../g) ?? []).join(':');

function packet(type: number, rest: Buffer): string[] {
  if ((type === 0x8100 || type === 0x88a8) && rest.length >= 4) {
    return [`tag ${rest.readUInt16BE(0) & 0xfff}`, ...packet(rest.readUInt16BE(2), rest.subarray(4))];
  }
  if (type === 0x0806 && rest.length >= 28) {
    const [sender, target] = [rest.subarray(14, 18).join('.'), rest.subarray(24, 28).join('.')];
    return [`ARP ${rest.readUInt16BE(6)} of ${mac(rest, 8)} ${sender} about ${target}, ${rest.length} bytes`];
  }
  if (type === 0x0800 && rest.length >= 20) return ipv4(rest);
  if (type === 0x86dd && rest.length >= 40) return ipv6(rest);
  return [`type ${type.toString(16)}, ${rest.length} bytes`];
}

function ipv4(rest: Buffer): string[] {
  const [flags, head] = [rest.readUInt16BE(6), 4 * (rest.readUInt8(0) & 15)];
  return [
    `IPv4 ${rest.subarray(12, 16).join('.')} to ${rest.subarray(16, 20).join('.')}`,
    `header ${head}, length ${rest.readUInt16BE(2)} of ${rest.length}`,
    ...fragment(8 * (flags & 0x1fff), (flags & 0x2000) !== 0),
    upper(rest.readUInt8(9), rest.subarray(head)),
  ];
}

function ipv6(rest: Buffer): string[] {
  const words = [
    `IPv6 ${groups(rest.subarray(8, 24))} to ${groups(rest.subarray(24, 40))}`,
    `length ${rest.readUInt16BE(4)} of ${rest.length - 40}, hop limit ${rest.readUInt8(7)}`,
  ];
  let [next, chain] = [rest.readUInt8(6), rest.subarray(40)];
  while ([0, 43, 44, 60].includes(next) && chain.length >= 8) {
    words.push(name(next));
    if (next === protocols.fragment) {
      const field = chain.readUInt16BE(2);
      words.push(...fragment(field & 0xfff8, (field & 1) !== 0));
      if (field >= 8) return [...words, `of ${name(chain.readUInt8(0))}`];
    }
    const length = next === protocols.fragment ? 8 : 8 * (chain.readUInt8(1) + 1);
    [next, chain] = [chain.readUInt8(0), chain.subarray(length)];
  }
  return [...words, upper(next, chain)];
}

const fragment = (offset: number, more: boolean): string[] =>
  offset > 0 || more ? [`fragment at ${offset}${more ? ' and more' : ''}`] : [];

function upper(protocol: number, rest: Buffer): string {
  if (protocol === protocols.udp && rest.length >= 4) {
    return `UDP ${rest.readUInt16BE(0)} to ${rest.readUInt16BE(2)}, ${rest.length} bytes`;
  }
  const typed: number[] = [protocols.icmp, protocols.igmp, protocols.icmp6];
  const type = typed.includes(protocol) && rest.length > 0 ? ` type ${rest.readUInt8(0)}` : '';
  return `${name(protocol)}${type}, ${rest.length} bytes`;
}

const groups = (address: Buffer): string => (address.toString('hex').match(/..../g) ?? []).join(':');
