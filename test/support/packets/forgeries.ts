import { addDisguises } from './disguises.js';
import {
  arp,
  dhcp,
  ethernet,
  etherTypes,
  fragment6,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  linkLayer,
  neighbour,
  nonce,
  options6,
  protocols,
  udp,
  vlanTag,
} from './frames.js';
import {
  forged,
  forged6,
  forgedMac,
  inNetwork,
  inNetwork6,
  otherGuest,
  otherGuest6,
  own,
  own6,
  type Parties,
} from './parties.js';

/** A frame that a guest may send: a row of the table in docs/operate/security.md. */
export interface Attempt {
  readonly what: string;
  readonly frame: Buffer;
  /** Whether it is honest, and has to arrive. */
  readonly honest: boolean;
}

const broadcast = '255.255.255.255';
const allNodes = 'ff02::1';
const { ip, ip6, arp: arpType, rarp, vlan, qinq } = etherTypes;
const { udp: UDP, icmp: ICMP, icmp6: ICMP6, hopByHop, destination, fragment } = protocols;

/** The IPv6 link-local address of a MAC (EUI-64). */
export function linkLocal(mac: string): string {
  const o = mac.split(':');
  const first = (Number.parseInt(o[0] as string, 16) ^ 2).toString(16).padStart(2, '0');
  return `fe80::${first}${o[1]}:${o[2]}ff:fe${o[3]}:${o[4]}${o[5]}`;
}

/** All frames, forged and honest mixed. Each differs from every other, so that an arrival identifies it. */
export function attempts({ from, to, other = otherGuest, other6 = otherGuest6 }: Parties): Attempt[] {
  const rows: Attempt[] = [];
  const add = (honest: boolean, what: string, type: number, payload: Buffer, source = from): number =>
    rows.push({ what, honest, frame: ethernet(to, source, type, payload) });
  const passes = (what: string, type: number, payload: Buffer) => add(true, what, type, payload);
  const forge = (what: string, type: number, payload: Buffer, source = from) =>
    add(false, what, type, payload, source);
  let id = 0;
  const datagram = (source: string, target = other, ports: [number, number] = [1000, 2000]) =>
    ipv4({ from: source, to: target, protocol: UDP, id: ++id }, udp(...ports));
  const datagram6 = (source: string, target = other6, ports: [number, number] = [1000, 2000]) =>
    ipv6({ from: source, to: target, next: UDP }, udp(...ports, Buffer.from(`${++id}`)));
  const ll = linkLocal(from);
  const nd = (source: string, target: string, type: number, body: Buffer, hops = 255) =>
    ipv6({ from: source, to: target, next: ICMP6, hops }, icmpv6(source, target, type, body));
  const advert = (source: string, target: string, ...options: Buffer[]) =>
    nd(source, allNodes, 136, neighbour(0x20000000, target, ...options));
  const solicit = (source: string, target: string, ...options: Buffer[]) =>
    nd(source, allNodes, 135, neighbour(0, target, ...options));
  const routerAdvert = icmpv6(
    ll,
    allNodes,
    134,
    Buffer.from('4000070800000000000000000000', 'hex').subarray(0, 12),
  );
  const none = Buffer.alloc(4);

  // Ethernet
  forge('IPv4 from another MAC', ip, datagram(own), forgedMac);
  forge(
    'ARP in a frame from another MAC',
    arpType,
    arp({ senderMac: from, senderIp: own, targetIp: other }),
    forgedMac,
  );
  forge('RARP request', rarp, arp({ op: 3, senderMac: from, senderIp: own, targetIp: other }));
  forge('frame of an unknown EtherType', 0x88b5, Buffer.from('vifd experimental'));
  forge('LLC frame (as a bridge protocol unit is)', 3, Buffer.from('424203', 'hex'));
  forge('own IPv4 in a VLAN tag', vlan, vlanTag(5, ip, datagram(own)));
  forge('forged IPv4 in a VLAN tag', vlan, vlanTag(5, ip, datagram(forged)));
  forge('own IPv4 in a priority tag (VLAN 0)', vlan, vlanTag(0, ip, datagram(own)));
  forge('own IPv4 in an 802.1ad tag', qinq, vlanTag(5, ip, datagram(own)));
  forge('own IPv4 in two tags', qinq, vlanTag(5, vlan, vlanTag(6, ip, datagram(own))));

  // ARP
  passes('ARP request from its address', arpType, arp({ senderMac: from, senderIp: own, targetIp: other }));
  passes(
    'ARP request from its network',
    arpType,
    arp({ senderMac: from, senderIp: inNetwork, targetIp: other }),
  );
  passes(
    'ARP reply for its address',
    arpType,
    arp({ op: 2, senderMac: from, senderIp: own, targetIp: other }),
  );
  passes('gratuitous ARP for its address', arpType, arp({ senderMac: from, senderIp: own, targetIp: own }));
  passes('ARP probe for its address', arpType, arp({ senderMac: from, senderIp: '0.0.0.0', targetIp: own }));
  forge(
    "ARP probe for another's address",
    arpType,
    arp({ senderMac: from, senderIp: '0.0.0.0', targetIp: forged }),
  );
  forge(
    "ARP request with another's sender address",
    arpType,
    arp({ senderMac: from, senderIp: forged, targetIp: other }),
  );
  forge(
    "ARP reply for another's address",
    arpType,
    arp({ op: 2, senderMac: from, senderIp: forged, targetIp: other }),
  );
  forge(
    "gratuitous ARP for another's address",
    arpType,
    arp({ senderMac: from, senderIp: forged, targetIp: forged }),
  );
  forge(
    'ARP with another sender MAC',
    arpType,
    arp({ op: 2, senderMac: forgedMac, senderIp: own, targetIp: other }),
  );
  forge(
    'ARP with misleading address lengths',
    arpType,
    arp({ op: 2, senderMac: from, senderIp: own, targetIp: other, hlen: 4 }),
  );
  forge('InARP reply', arpType, arp({ op: 9, senderMac: from, senderIp: own, targetIp: other }));

  // IPv4
  passes('IPv4 from its address', ip, datagram(own));
  passes('IPv4 from its network', ip, datagram(inNetwork));
  passes(
    'later fragment from its address',
    ip,
    ipv4({ from: own, to: other, protocol: UDP, id: 90, fragment: 100 }, none),
  );
  const request = (source: string, target: string, type: number, client?: string) =>
    ipv4(
      { from: source, to: target, protocol: UDP, id: ++id },
      udp(68, 67, dhcp({ type, mac: from, ...(client === undefined ? {} : { client }) })),
    );
  passes('DHCP discover', ip, request('0.0.0.0', broadcast, 1));
  passes('DHCP request from its address', ip, request(own, other, 3, own));
  forge("IPv4 from another's address", ip, datagram(forged));
  forge(
    "later fragment from another's address",
    ip,
    ipv4({ from: forged, to: other, protocol: UDP, id: 91, fragment: 100 }, none),
  );
  forge('IPv4 from 0.0.0.0 that is not DHCP', ip, datagram('0.0.0.0', broadcast, [68, 68 + 1]));
  forge('IPv4 from 0.0.0.0 to one host', ip, datagram('0.0.0.0', other, [68, 67]));
  forge('DHCP server reply', ip, datagram(own, broadcast, [67, 68]));
  forge('DHCP server reply from another port', ip, datagram(own, broadcast, [1067, 68]));
  forge('DHCP relay', ip, datagram(own, other, [67, 67]));
  forge(
    'DHCP server reply, first fragment',
    ip,
    ipv4({ from: own, to: broadcast, protocol: UDP, id: 92, fragment: 0x2000 }, udp(67, 68)),
  );
  forge(
    'ICMP redirect',
    ip,
    ipv4({ from: own, to: other, protocol: ICMP, id: 93 }, icmp(5, Buffer.alloc(32))),
  );
  forge(
    'ICMP router advertisement',
    ip,
    ipv4({ from: own, to: other, protocol: ICMP, id: 94 }, icmp(9, Buffer.alloc(12))),
  );
  forge(
    'IPv4 that claims to be longer than it is',
    ip,
    ipv4({ from: own, to: other, protocol: UDP, id: 95, length: 999 }, udp(1, 68)),
  );

  // IPv6
  passes('IPv6 from its address', ip6, datagram6(own6));
  passes('IPv6 from its network', ip6, datagram6(inNetwork6));
  passes('IPv6 from the link-local address of its MAC', ip6, datagram6(ll));
  passes('DHCPv6 solicit', ip6, datagram6(ll, 'ff02::1:2', [546, 547]));
  passes(
    'later IPv6 fragment from its address',
    ip6,
    ipv6({ from: own6, to: other6, next: fragment }, Buffer.concat([fragment6(UDP, 1448, false), none])),
  );
  passes(
    'first IPv6 fragment with its header',
    ip6,
    ipv6({ from: own6, to: other6, next: fragment }, Buffer.concat([fragment6(UDP, 0, true), udp(1, 2)])),
  );
  passes(
    'fragmented echo request',
    ip6,
    ipv6(
      { from: own6, to: other6, next: fragment },
      Buffer.concat([fragment6(ICMP6, 0, true), icmpv6(own6, other6, 128, Buffer.alloc(12))]),
    ),
  );
  forge("IPv6 from another's address", ip6, datagram6(forged6));
  forge('IPv6 from a link-local address that is not of its MAC', ip6, datagram6('fe80::1'));
  forge('IPv6 from ::', ip6, datagram6('::'));
  forge('DHCPv6 server reply', ip6, datagram6(ll, other6, [547, 546]));
  forge('DHCPv6 server reply from another port', ip6, datagram6(ll, other6, [1547, 546]));
  forge(
    'DHCPv6 server reply behind a destination option',
    ip6,
    ipv6({ from: own6, to: other6, next: destination }, Buffer.concat([options6(UDP), udp(547, 546)])),
  );
  forge(
    'first IPv6 fragment without its header',
    ip6,
    ipv6(
      { from: own6, to: other6, next: fragment },
      Buffer.concat([fragment6(UDP, 0, true, 8), Buffer.from([1])]),
    ),
  );
  forge(
    'fragment whose options end behind it',
    ip6,
    ipv6(
      { from: own6, to: other6, next: fragment },
      Buffer.concat([fragment6(destination, 0, true, 9), Buffer.from([ICMP6, 9, 1, 4, 0, 0, 0, 0])]),
    ),
  );

  // Neighbour discovery
  passes('duplicate address detection', ip6, solicit('::', own6));
  passes('duplicate address detection with a nonce', ip6, solicit('::', own6, nonce()));
  passes('duplicate address detection, link-local', ip6, solicit('::', ll));
  passes('neighbour solicitation', ip6, solicit(own6, other6, linkLayer(1, from)));
  passes('neighbour solicitation without an option', ip6, solicit(own6, other6));
  passes('neighbour advertisement', ip6, advert(own6, own6, linkLayer(2, from)));
  passes('neighbour advertisement without an option', ip6, advert(own6, inNetwork6));
  passes('router solicitation', ip6, nd(ll, 'ff02::2', 133, Buffer.concat([none, linkLayer(1, from)])));
  passes('router solicitation from ::', ip6, nd('::', 'ff02::2', 133, none));
  passes(
    'multicast listener report',
    ip6,
    ipv6(
      { from: ll, to: 'ff02::16', next: hopByHop, hops: 1 },
      Buffer.concat([options6(ICMP6, true), icmpv6(ll, 'ff02::16', 143, none)]),
    ),
  );
  passes(
    'multicast listener report from ::',
    ip6,
    ipv6(
      { from: '::', to: 'ff02::16', next: hopByHop, hops: 1 },
      Buffer.concat([options6(ICMP6, true), icmpv6('::', 'ff02::16', 143, none)]),
    ),
  );
  forge("duplicate address detection about another's address", ip6, solicit('::', forged6));
  forge(
    'duplicate address detection with a link-layer address',
    ip6,
    solicit('::', own6, linkLayer(1, from)),
  );
  forge('neighbour solicitation with another MAC', ip6, solicit(own6, other6, linkLayer(1, forgedMac)));
  forge(
    'neighbour solicitation with another MAC behind a nonce',
    ip6,
    solicit(own6, other6, nonce(), linkLayer(1, forgedMac)),
  );
  forge("neighbour solicitation from another's address", ip6, solicit(forged6, other6, linkLayer(1, from)));
  forge("neighbour advertisement for another's address", ip6, advert(own6, forged6, linkLayer(2, from)));
  forge(
    "neighbour advertisement for another's link-local address",
    ip6,
    advert(own6, 'fe80::1', linkLayer(2, from)),
  );
  forge('neighbour advertisement with another MAC', ip6, advert(own6, own6, linkLayer(2, forgedMac)));
  forge(
    'neighbour advertisement with a second MAC',
    ip6,
    advert(own6, own6, linkLayer(2, from), linkLayer(2, forgedMac)),
  );
  forge(
    'neighbour advertisement behind a hop-by-hop option',
    ip6,
    ipv6(
      { from: own6, to: allNodes, next: hopByHop },
      Buffer.concat([options6(ICMP6), icmpv6(own6, allNodes, 136, neighbour(0, forged6))]),
    ),
  );
  forge(
    'neighbour advertisement in a fragment',
    ip6,
    ipv6(
      { from: own6, to: allNodes, next: fragment },
      Buffer.concat([fragment6(ICMP6, 0, false), icmpv6(own6, allNodes, 136, neighbour(0, forged6))]),
    ),
  );
  forge(
    'router solicitation with another MAC',
    ip6,
    nd(ll, 'ff02::2', 133, Buffer.concat([none, linkLayer(1, forgedMac)])),
  );
  forge('router advertisement', ip6, ipv6({ from: ll, to: allNodes, next: ICMP6 }, routerAdvert));
  forge(
    'router advertisement behind a hop-by-hop option',
    ip6,
    ipv6({ from: ll, to: allNodes, next: hopByHop }, Buffer.concat([options6(ICMP6), routerAdvert])),
  );
  forge(
    'router advertisement behind a destination option',
    ip6,
    ipv6({ from: ll, to: allNodes, next: destination }, Buffer.concat([options6(ICMP6), routerAdvert])),
  );
  forge(
    'router advertisement in a fragment',
    ip6,
    ipv6(
      { from: ll, to: allNodes, next: fragment },
      Buffer.concat([fragment6(ICMP6, 0, false, 10), routerAdvert]),
    ),
  );
  forge(
    'router advertisement, first fragment ends before its type',
    ip6,
    ipv6(
      { from: ll, to: allNodes, next: fragment },
      Buffer.concat([fragment6(destination, 0, true, 11), options6(ICMP6)]),
    ),
  );
  forge('redirect', ip6, nd(ll, other6, 137, Buffer.alloc(36)));
  forge(
    'multicast listener query',
    ip6,
    ipv6(
      { from: ll, to: allNodes, next: hopByHop, hops: 1 },
      Buffer.concat([options6(ICMP6, true), icmpv6(ll, allNodes, 130, Buffer.alloc(20))]),
    ),
  );
  forge('router renumbering', ip6, nd(ll, other6, 138, Buffer.alloc(12)));
  const arpReply = arp({ op: 2, senderMac: from, senderIp: own, targetIp: other });
  addDisguises({ from, to, other, other6 }, { ll, arpReply }, (honest, what, frame) =>
    rows.push({ what, honest, frame }),
  );
  return rows;
}

/** The last frame to be sent: a frame that has not arrived before it was dropped. */
export const lastOne = ({ from, to, other = otherGuest }: Parties): Buffer =>
  ethernet(to, from, ip, ipv4({ from: own, to: other, protocol: UDP, id: 65535 }, udp(9, 9)));

/**
 * The one behind it, to a MAC that no other frame is for. Open vSwitch has no flow for it yet, so that it goes by userspace, which takes
 * frames in their order, while the last one may overtake others that wait there.
 */
export const lastUnseen = ({ from, other = otherGuest }: Parties): Buffer =>
  ethernet(
    '02:00:00:00:99:99',
    from,
    ip,
    ipv4({ from: own, to: other, protocol: UDP, id: 65534 }, udp(9, 9)),
  );
