import type { Headers } from '../../../host/netfilter/trace.js';
import { formatAddress } from '../../../model/address.js';

const protocols: { readonly [number: number]: string } = {
  1: 'ICMP',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  47: 'GRE',
  50: 'ESP',
  58: 'ICMPv6',
  132: 'SCTP',
};
const icmpTypes: { readonly [key: string]: string } = {
  'ICMP 0': 'echo reply',
  'ICMP 8': 'echo request',
  'ICMP 3': 'unreachable',
  'ICMPv6 128': 'echo request',
  'ICMPv6 129': 'echo reply',
  'ICMPv6 133': 'router solicitation',
  'ICMPv6 135': 'neighbour solicitation',
  'ICMPv6 136': 'neighbour advertisement',
  'ICMPv6 143': 'multicast report',
};

/** A packet in words such as `TCP 192.0.2.5 > 198.51.100.7:443`, without the source port, which differs by connection. */
export function describePacket({ link, network, transport }: Headers): string {
  const type = etherType(link);
  if (type === 0x0806) return describeArp(network);
  const version = network.length > 0 ? network.readUInt8(0) >> 4 : 0;
  const isIp = type === undefined || type === 0x0800 || type === 0x86dd;
  if (isIp && version === 4 && network.length >= 20) {
    const [from, to] = [address(network.subarray(12, 16)), address(network.subarray(16, 20))];
    return withPorts(network.readUInt8(9), from, to, transport);
  }
  if (isIp && version === 6 && network.length >= 40) {
    const [from, to] = [address(network.subarray(8, 24)), address(network.subarray(24, 40))];
    return withPorts(network.readUInt8(6), from, to, transport);
  }
  return type === undefined ? 'a frame' : `EtherType 0x${type.toString(16).padStart(4, '0')}`;
}

/** The EtherType behind the tags of a frame's header; undefined where that is not known. */
function etherType(link: Buffer): number | undefined {
  for (let at = 12; at + 2 <= link.length; at += 4) {
    const type = link.readUInt16BE(at);
    if (type !== 0x8100 && type !== 0x88a8) return type;
  }
  return undefined;
}

function describeArp(network: Buffer): string {
  if (network.length < 28) return 'ARP';
  const [from, to] = [address(network.subarray(14, 18)), address(network.subarray(24, 28))];
  return network.readUInt16BE(6) === 1 ? `ARP, ${from} asks for ${to}` : `ARP, an answer of ${from} to ${to}`;
}

function withPorts(number: number, from: string, to: string, transport: Buffer): string {
  const protocol = protocols[number] ?? `protocol ${number}`;
  const hasPorts = [6, 17, 132].includes(number) && transport.length >= 4;
  if (hasPorts) {
    const [source, port] = [transport.readUInt16BE(0), transport.readUInt16BE(2)];
    const target = to.includes(':') ? `[${to}]:${port}` : `${to}:${port}`;
    // An answer goes to whatever port it was asked from.
    if (source < 1024 && port >= 1024)
      return `${protocol} ${from.includes(':') ? `[${from}]` : from}:${source} > ${to}`;
    return `${protocol} ${from} > ${target}`;
  }
  const type = transport.length > 0 ? icmpTypes[`${protocol} ${transport.readUInt8(0)}`] : undefined;
  return `${protocol} ${from} > ${to}${type === undefined ? '' : `, ${type}`}`;
}

const address = (bytes: Buffer): string =>
  formatAddress(bytes.length === 4 ? 4 : 6, BigInt(`0x${bytes.toString('hex')}`));
