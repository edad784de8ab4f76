import { type Guest, owns, speaks } from './guest.js';
import { type Chain, headerChain } from './header-chain.js';
import { drop, type Judgement, pass } from './judgement.js';
import { isDiscovery, judgeDiscovery } from './neighbour-discovery.js';
import { protocols } from './protocols.js';

const errorsAndEcho = new Set([1, 2, 3, 4, 128, 129]);
const listenerReports = new Set([131, 132, 143]);
/** IPv4, TCP, UDP, DCCP, IPv6, GRE, ESP, ICMPv6, OSPF, EtherIP, VRRP, L2TP, SCTP, UDP-Lite. */
const known = new Set([4, 6, 17, 33, 41, 47, 50, 58, 89, 97, 112, 115, 132, 136]);

/** An IPv6 packet, taken apart. */
export interface Packet6 {
  readonly hopLimit: number;
  /** The payload length of its header. */
  readonly length: number;
  readonly source: Buffer;
  readonly target: Buffer;
  readonly chain: Chain;
}

/** IPv6: from its addresses, nothing of a router's or a DHCPv6 server's, and neighbour discovery only about itself. */
export function judgeIpv6(frame: Buffer, guest: Guest): Judgement {
  if (!speaks(guest, 6)) return drop('it has no IPv6 address');
  if (frame.length < 40) return drop('IPv6 header that ends early');
  if (frame.readUInt8(0) >> 4 !== 6) return drop('no IPv6 header');
  const length = frame.readUInt16BE(4);
  if (40 + length > frame.length) return drop('IPv6 of a wrong length');
  const chain = headerChain(frame.readUInt8(6), frame.subarray(40));
  if (chain === undefined) return drop('header chain that ends early');
  const [source, target] = [frame.subarray(8, 24), frame.subarray(24, 40)];
  const packet = { hopLimit: frame.readUInt8(7), length, source, target, chain };
  if (source.every((byte) => byte === 0)) return judgeUnspecified(packet, guest);
  if (!owns(guest, source)) return drop("from another's IPv6 address");
  if (!known.has(chain.protocol)) return drop(chain.protocol === protocols.pim ? 'PIM' : 'protocol of IPv6');
  if (!chain.isLater && chain.transport.length === 0) return drop('nothing behind the headers');
  return chain.headers.includes(protocols.fragment) ? judgeFragment(packet) : judgeWhole(packet, guest);
}

/** From `::`: what a guest sends before it has an address. */
function judgeUnspecified(packet: Packet6, guest: Guest): Judgement {
  const { protocol, transport, headers } = packet.chain;
  if (protocol !== protocols.icmp6 || headers.includes(protocols.fragment) || transport.length < 1) {
    return drop('from ::');
  }
  const type = transport.readUInt8(0);
  if (isDiscovery(type)) return judgeDiscovery(packet, guest);
  return listenerReports.has(type) ? judgeReport(packet) : drop('from ::');
}

/** A fragment: with no other extension header, and the first one with the transport's first 8 bytes (RFC 7112). */
function judgeFragment({ chain: { headers, protocol, transport, isLater } }: Packet6): Judgement {
  if (headers.length > 1) return drop('extension headers and fragments');
  if (isLater) return pass('later fragment');
  if (transport.length < 8) return drop('first fragment without its header');
  if (protocol === protocols.udp) return judgeUdp(transport);
  if (protocol !== protocols.icmp6) return pass('first fragment');
  return errorsAndEcho.has(transport.readUInt8(0)) ? pass('first fragment') : drop('ICMPv6 in fragments');
}

function judgeWhole(packet: Packet6, guest: Guest): Judgement {
  const { protocol, transport } = packet.chain;
  if (protocol === protocols.udp) return judgeUdp(transport);
  if (protocol !== protocols.icmp6) return pass('IPv6');
  if (transport.length < 1) return drop('ICMPv6 without a type');
  const type = transport.readUInt8(0);
  if (isDiscovery(type)) return judgeDiscovery(packet, guest);
  if (errorsAndEcho.has(type)) return pass('ICMPv6');
  return listenerReports.has(type) ? judgeReport(packet) : drop('ICMPv6 of another type');
}

function judgeUdp(transport: Buffer): Judgement {
  if (transport.length < 8) return drop('UDP header that ends early');
  const [from, to] = [transport.readUInt16BE(0), transport.readUInt16BE(2)];
  return to === 546 || from === 547 ? drop('DHCPv6 of a server') : pass('UDP');
}

/** A report of a multicast listener (RFC 2710, RFC 3810), or its end. */
function judgeReport({ hopLimit, target, chain: { headers, transport } }: Packet6): Judgement {
  if (hopLimit !== 1) return drop('report from afar');
  if (headers.some((header) => header !== protocols.hopByHop) || headers.length > 1) {
    return drop('report behind another header');
  }
  const to = target.toString('hex');
  const fits = {
    131: to.startsWith('ff'),
    132: to === 'ff020000000000000000000000000002',
    143: to === 'ff020000000000000000000000000016',
  }[transport.readUInt8(0)];
  return fits === true ? pass('report of a listener') : drop('report to where none is sent');
}
