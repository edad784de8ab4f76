import {
  authentication,
  dhcp,
  ethernet,
  etherTypes,
  fragment6,
  icmpv6,
  igmp,
  ipv4,
  ipv6,
  neighbour,
  options6,
  protocols,
  udp,
} from './frames.js';
import { forged, forged6, forgedMac, own, own6, type Parties } from './parties.js';

// Frames of routers, servers and switches, and those that hide what they are: cut short, behind headers, in fragments.

const broadcast = '255.255.255.255';
const { tcp: TCP, udp: UDP, icmp6: ICMP6, hopByHop, destination, fragment } = protocols;

type Add = (honest: boolean, what: string, frame: Buffer) => void;

/** Adds the frames. `ll` is the link-local address of the sender's MAC, `arpReply` an ARP reply for its address. */
export function addDisguises(
  { from, to, other, other6 }: Required<Parties>,
  { ll, arpReply }: { ll: string; arpReply: Buffer },
  add: Add,
): void {
  const { ip, ip6, arp } = etherTypes;
  let id = 1000;
  const of4 = (payload: Buffer, header: Partial<Parameters<typeof ipv4>[0]> = {}, target = to): Buffer =>
    ethernet(target, from, ip, ipv4({ from: own, to: other, protocol: UDP, id: ++id, ...header }, payload));
  const of6 = (payload: Buffer, header: Partial<Parameters<typeof ipv6>[0]> = {}): Buffer =>
    ethernet(to, from, ip6, ipv6({ from: own6, to: other6, next: UDP, ...header }, payload));
  const marked = (ports: [number, number]): Buffer => udp(...ports, Buffer.from(`${++id}`));

  const llc = (head: string): Buffer => Buffer.from(head.padEnd(76, '0'), 'hex');
  add(false, 'spanning tree frame', ethernet('01:80:c2:00:00:00', from, 38, llc('424203')));
  add(false, 'own IPv4 to the address of spanning tree', of4(udp(1, 2), {}, '01:80:c2:00:00:00'));
  add(false, 'CDP frame', ethernet('01:00:0c:cc:cc:cc', from, 38, llc('aaaa0300000c2000')));
  add(false, 'PVST+ frame', ethernet('01:00:0c:cc:cc:cd', from, 38, llc('aaaa0300000c010b')));
  add(false, 'MVRP frame', ethernet('01:80:c2:00:00:21', from, 0x88f5, llc('000102')));

  for (const length of [17, 23, 27]) {
    add(false, `ARP reply cut after ${length} bytes`, ethernet(to, from, arp, arpReply.subarray(0, length)));
  }
  add(false, 'IPv4 cut after the ports', of4(udp(1, 2).subarray(0, 4)));
  add(false, 'ICMP without a type', of4(Buffer.alloc(0), { protocol: 1 }));
  add(false, 'IPv6 cut after the ports', of6(marked([1, 2]).subarray(0, 4)));
  add(false, 'ICMPv6 without a type', of6(Buffer.alloc(0), { next: ICMP6 }));
  add(false, 'IPv6 cut in its header', of6(Buffer.alloc(0)).subarray(0, 50));

  // Multicast routers, and who they ask. The reports come first: a bridge sends them to a router once there is one.
  const group = (protocol: number, type: number, header = {}): Buffer =>
    of4(igmp(type), { protocol, to: '224.0.0.22', ...header });
  add(true, 'IGMP report', group(2, 0x22));
  add(true, 'IGMP leave', group(2, 0x17, { to: '224.0.0.2' }));
  add(false, 'IGMP report to one host', group(2, 0x22, { to: other }));
  add(false, 'IGMP report in a fragment', group(2, 0x22, { fragment: 0x2000 }));
  add(false, 'IGMP query', group(2, 0x11, { to: '224.0.0.1' }));
  add(false, 'DVMRP probe', group(2, 0x13, { to: '224.0.0.4' }));
  add(false, 'multicast router advertisement', group(2, 0x30, { to: '224.0.0.106' }));
  add(false, 'PIM hello', group(103, 0x20, { to: '224.0.0.13' }));
  add(
    false,
    'PIM hello by IPv6',
    of6(Buffer.from('2000000000010002', 'hex'), { from: ll, to: 'ff02::d', next: 103 }),
  );

  const report = (source: string, target: string, type: number, hops = 1): Buffer =>
    ipv6Report({ from: source, to: target, hops }, type);
  const mld = (...of: Parameters<typeof report>): Buffer => ethernet(to, from, ip6, report(...of));
  add(true, 'multicast listener report of version 1', mld('::', 'ff02::1:ff00:1', 131));
  add(true, 'multicast listener done', mld(ll, 'ff02::2', 132));
  add(false, 'multicast listener report to one host', mld(ll, other6, 143));
  add(false, 'multicast listener report from :: to one host', mld('::', other6, 143));
  add(false, 'multicast listener report from afar', mld(own6, 'ff02::16', 143, 64));
  add(false, 'multicast router advertisement by IPv6', mld(ll, 'ff02::6a', 151));

  // DHCP: in its own name, and in another's.
  const lease = (source: string, target: string, message: Buffer, header = {}): Buffer =>
    of4(udp(68, 67, message), { from: source, to: target, ...header });
  add(true, 'DHCP release of its address', lease(own, other, dhcp({ type: 7, mac: from, client: own })));
  add(
    false,
    "DHCP discover with another's MAC",
    lease('0.0.0.0', broadcast, dhcp({ type: 1, mac: forgedMac })),
  );
  add(
    false,
    "DHCP release of another's address",
    lease(own, other, dhcp({ type: 7, mac: from, client: forged })),
  );
  add(
    false,
    "DHCP release with another's MAC",
    lease(own, other, dhcp({ type: 7, mac: forgedMac, client: own })),
  );
  add(false, 'DHCP request through a relay', lease(own, other, dhcp({ type: 3, mac: from, relay: own })));
  add(false, 'DHCP reply to a server', lease(own, other, dhcp({ type: 5, mac: from, op: 2 })));
  add(
    false,
    'DHCP request in a fragment',
    lease(own, other, dhcp({ type: 3, mac: from }), { fragment: 0x2000 }),
  );
  add(
    false,
    'DHCP request cut before its end',
    of4(udp(68, 67, dhcp({ type: 3, mac: from })).subarray(0, 100)),
  );

  // Behind headers that the kernel does not look behind (RFC 7113), and in fragments that others may overlap (RFC 5722).
  const hidden = {
    'router advertisement': { next: ICMP6, packet: icmpv6(ll, 'ff02::1', 134, Buffer.alloc(12)) },
    'DHCPv6 server reply': { next: UDP, packet: udp(547, 546) },
    'neighbour advertisement': { next: ICMP6, packet: icmpv6(ll, 'ff02::1', 136, neighbour(0, forged6)) },
  };
  const headers = { AH: 51, mobility: 135, HIP: 139, shim6: 140, 'an unknown header': 253 };
  for (const [what, { next, packet }] of Object.entries(hidden)) {
    for (const [name, header] of Object.entries(headers)) {
      const before = header === 51 ? authentication(next) : options6(next);
      const frame = of6(Buffer.concat([before, packet]), { from: ll, to: 'ff02::1', next: header });
      add(false, `${what} behind ${name}`, frame);
    }
  }
  const part = (head: Buffer, ...rest: Buffer[]): Buffer =>
    of6(Buffer.concat([head, ...rest]), { next: fragment });
  add(true, 'IPv6 in one fragment', part(fragment6(UDP, 0, false, 21), marked([1, 2])));
  add(
    false,
    'first IPv6 fragment with an option',
    part(fragment6(destination, 0, true, 22), options6(UDP), marked([1, 2])),
  );
  add(
    false,
    'later IPv6 fragment of an option',
    part(fragment6(destination, 8, false, 23), marked([547, 546])),
  );
  add(
    false,
    'IPv6 fragment in a fragment',
    part(fragment6(fragment, 0, true, 24), fragment6(UDP, 0, true, 24), marked([1, 2])),
  );
  add(
    false,
    'IPv6 fragment behind an option',
    of6(Buffer.concat([options6(fragment), fragment6(UDP, 0, true, 25), marked([1, 2])]), {
      next: destination,
    }),
  );
  add(false, 'DHCPv6 server reply, first fragment', part(fragment6(UDP, 0, true, 26), marked([547, 546])));
  // The kernel asks for the first two bytes of a header, and of a fragment's for the offset.
  add(false, 'hop-by-hop header that ends with the frame', of6(Buffer.from([TCP, 0]), { next: hopByHop }));
  add(
    false,
    'later IPv6 fragment whose header ends with the frame',
    part(fragment6(UDP, 8, false, 27).subarray(0, 4)),
  );
}

const ipv6Report = (of: { from: string; to: string; hops: number }, type: number): Buffer =>
  ipv6(
    { ...of, next: 0 },
    Buffer.concat([options6(ICMP6, true), icmpv6(of.from, of.to, type, Buffer.alloc(type === 143 ? 4 : 20))]),
  );
