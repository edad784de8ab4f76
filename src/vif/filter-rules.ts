import { formatIpv4, formatIpv6 } from './address.js';
import { type FilterSpec, linkLocalOf, type Range, ranges } from './filter.js';

/** One rule of a vif's chain, in nft's words. `reason` is what is dropped, or why it passes. */
export interface Rule {
  readonly match: string;
  readonly verdict: 'accept' | 'drop';
  readonly reason: string;
}

const drop = (reason: string, match = ''): Rule => ({ match, verdict: 'drop', reason });
const accept = (reason: string, match: string): Rule => ({ match, verdict: 'accept', reason });

/**
 * Matches when the kernel made sense of the packet down to its transport header: `meta l4proto` is only set then
 * (nft_set_pktinfo_ipv4_validate and _ipv6_validate), and what it could not read no rule on ports or types has judged.
 */
const wellFormed = 'meta l4proto >= 0';

/**
 * What a guest may send, for a chain at its netdev's ingress whose policy is drop. Only ARP, IPv4 and IPv6 pass; a
 * protocol of which it has no address does not. Ethernet types are told by `meta protocol`, which is that inside of a
 * VLAN tag: the tag is off the packet by the time ingress sees it, and `@ll` puts it back in place.
 *
 * Lists are written as ranges and rows of rules: each list in braces is a set, and libnftables reads all sets of all
 * vifs before it adds a rule (CPU time of one more vif beside 190: 14 ms with sets, 5 without).
 */
export function ingressRules(spec: FilterSpec): Rule[] {
  return [
    drop('source MAC', `ether saddr != ${spec.mac}`),
    ...(spec.tagged ? [] : [drop('VLAN tag', '@ll,96,16 0x8100'), drop('VLAN tag', '@ll,96,16 0x88a8')]),
    ...ipv4(spec),
    ...ipv6(spec),
    drop('EtherType'),
  ];
}

function ipv4({ mac, networks }: FilterSpec): Rule[] {
  const own = ranges(networks, 4);
  const noneOf = (field: string): string => noneOfRanges(field, own, formatIpv4);
  if (own.length === 0) {
    return [
      drop('IPv4 without an address', 'meta protocol ip'),
      drop('IPv4 without an address', 'meta protocol arp'),
    ];
  }
  return [
    // Clients look at the destination port alone, so that is what makes a server.
    drop('DHCP server', 'meta protocol ip udp dport 68'),
    drop('DHCP server', 'meta protocol ip udp sport 67'),
    accept('DHCP client', 'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67'),
    drop('router advertisement or redirect', 'meta protocol ip icmp type redirect'),
    drop('router advertisement or redirect', 'meta protocol ip icmp type router-advertisement'),
    drop('IPv4 source', noneOf('ip saddr')),
    accept('IPv4', `meta protocol ip ${wellFormed}`),
    drop('malformed IPv4', 'meta protocol ip'),
    drop('ARP sender MAC', `arp saddr ether != ${mac}`),
    // From 0.0.0.0 is duplicate address detection (RFC 5227); about another's address it would keep that from being taken.
    drop('ARP sender address', `arp saddr ip 0.0.0.0 ${noneOf('arp daddr ip')}`),
    accept('ARP probe', `${arpFormat} arp operation request arp saddr ip 0.0.0.0`),
    drop('ARP sender address', noneOf('arp saddr ip')),
    accept('ARP', `${arpFormat} arp operation 1-2`),
    drop('malformed ARP', 'meta protocol arp'),
  ];
}

/** Other lengths of addresses would put the fields elsewhere. */
const arpFormat = 'arp htype 1 arp ptype ip arp hlen 6 arp plen 4';

function ipv6({ mac, networks }: FilterSpec): Rule[] {
  if (ranges(networks, 6).length === 0) return [drop('IPv6 without an address', 'meta protocol ip6')];
  const own = ranges([...networks, linkLocalOf(mac)], 6);
  const foreignTarget = noneOfRanges('@th,64,128', own, hex128);
  const macHex = `0x${mac.replaceAll(':', '')}`;
  // Without extension headers, fragments included (RFC 6980), so that the offsets hold; nobody honest uses any.
  const nd = (type: string, length: number): string =>
    `ip6 nexthdr icmpv6 ip6 hoplimit 255 icmpv6 type ${type} ip6 length ${length}`;
  const unspecified = 'ip6 saddr ::';
  const type = (types: string): string => `meta protocol ip6 icmpv6 type ${types}`;
  return [
    drop('DHCP server', 'meta protocol ip6 udp dport 546'),
    drop('DHCP server', 'meta protocol ip6 udp sport 547'),
    drop('router advertisement or redirect', type('nd-router-advert')),
    drop('router advertisement or redirect', type('nd-redirect')),
    // Duplicate address detection, as in RFC 4862, or with the nonce of RFC 7527.
    drop('neighbour discovery', `${unspecified} icmpv6 type nd-neighbor-solicit ${foreignTarget}`),
    accept('neighbour solicitation', `${unspecified} ${nd('nd-neighbor-solicit', 24)}`),
    accept('neighbour solicitation', `${unspecified} ${nd('nd-neighbor-solicit', 32)} @th,192,16 0x0e01`),
    accept('router solicitation', `${unspecified} ${nd('nd-router-solicit', 8)}`),
    // RFC 3590 and 3810, 5.2.13: reports before there is an address.
    accept('multicast report', `${unspecified} ip6 hoplimit 1 icmpv6 type 131-132`),
    accept('multicast report', `${unspecified} ip6 hoplimit 1 icmpv6 type 143`),
    drop('IPv6 source', noneOfRanges('ip6 saddr', own, formatIpv6)),
    // Exactly one option or none: a link-layer address hidden behind another option would be believed.
    accept('router solicitation', nd('nd-router-solicit', 8)),
    accept('router solicitation', `${nd('nd-router-solicit', 16)} @th,64,16 0x0101 @th,80,48 ${macHex}`),
    accept('neighbour solicitation', nd('nd-neighbor-solicit', 24)),
    accept(
      'neighbour solicitation',
      `${nd('nd-neighbor-solicit', 32)} @th,192,16 0x0101 @th,208,48 ${macHex}`,
    ),
    drop('neighbour discovery', `${type('nd-neighbor-advert')} ${foreignTarget}`),
    accept('neighbour advertisement', nd('nd-neighbor-advert', 24)),
    accept(
      'neighbour advertisement',
      `${nd('nd-neighbor-advert', 32)} @th,192,16 0x0201 @th,208,48 ${macHex}`,
    ),
    // 133 to 137 is all of it, RFC 4861.
    drop('neighbour discovery', type('133-137')),
    // A later fragment is nothing without the first one, which has to show what it carries (RFC 7112).
    accept('IPv6 fragment', `frag frag-off != 0 ${wellFormed}`),
    // Errors, echo, and reports of multicast listeners.
    accept('ICMPv6', type('1-4')),
    accept('ICMPv6', type('128-129')),
    accept('ICMPv6', type('131-132')),
    accept('ICMPv6', type('143')),
    drop('ICMPv6 type', 'meta protocol ip6 meta l4proto icmpv6'),
    accept('IPv6 fragment', 'meta protocol ip6 exthdr frag exists @th,0,32 >= 0'),
    drop('IPv6 fragment', 'meta protocol ip6 exthdr frag exists'),
    accept('IPv6', `meta protocol ip6 ${wellFormed}`),
    drop('malformed IPv6', 'meta protocol ip6'),
  ];
}

/** As many comparisons fit into one rule beside others (NFT_RULE_MAXEXPRS is 128); beyond, a set is shorter. */
const mostComparisons = 16;

/** Matches when a field is in none of the ranges. */
function noneOfRanges(field: string, of: readonly Range[], format: (address: bigint) => string): string {
  const elements = of.map(({ first, last }) =>
    first === last ? format(first) : `${format(first)}-${format(last)}`,
  );
  return elements.length > mostComparisons
    ? `${field} != { ${elements.join(', ')} }`
    : elements.map((element) => `${field} != ${element}`).join(' ');
}

const hex128 = (value: bigint): string => `0x${value.toString(16).padStart(32, '0')}`;
