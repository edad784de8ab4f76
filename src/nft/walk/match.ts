import { addressValue, networkOf, parseNetwork } from '../../model/address.js';
import { allOf, anyOf, not, type Packet, type Tri } from './packet.js';
import type { BaseChain, Json, Ruleset } from './ruleset.js';

/** The value of a field: a text, a number, a list for a concatenation; `absent` of another protocol; undefined when not known. */
type Value = string | number | readonly Value[] | typeof absent | undefined;

/** Stands for a field that the packet does not have: nft's comparisons with it do not match, `!=` included. */
const absent = Symbol('absent');

/** Where a match stands: its table has the sets that it names. */
interface Place {
  readonly ruleset: Ruleset;
  readonly chain: BaseChain;
}

type Fields = { readonly [key: string]: Json };

/** Whether a `match` of libnftables-json(5) holds for a packet. */
export function matches({ op, left, right }: Fields, packet: Packet, place: Place): Tri {
  const value = fieldOf(left as Json, packet);
  if (value === absent) return false;
  if (op === '!=') return not(isIn(value, right as Json, place));
  if (op === '==' || op === 'in') return isIn(value, right as Json, place);
  if (typeof value !== 'number' || typeof right !== 'number') return undefined;
  const order = { '<': value < right, '>': value > right, '<=': value <= right, '>=': value >= right };
  return order[op as keyof typeof order];
}

/** The verdict that a `vmap` has for a packet: a statement, undefined for none, or `unknown`. */
export function lookUp({ key, data }: Fields, packet: Packet, place: Place): Fields | 'unknown' | undefined {
  const value = fieldOf(key as Json, packet);
  if (value === absent) return undefined;
  for (const entry of elementsOf(data as Json, place) ?? [[]]) {
    const [wanted, verdict] = entry as readonly Json[];
    const holds = wanted === undefined ? undefined : isIn(value, wanted, place);
    if (holds === undefined) return 'unknown';
    if (holds) return verdict as Fields;
  }
  return undefined;
}

/** The value that a packet has for the left side of a match. */
function fieldOf(left: Json, packet: Packet): Value {
  const [[kind = '', fields = null] = []] = Object.entries(left ?? {}) as [string, Json][];
  const of = (fields ?? {}) as Fields;
  switch (kind) {
    case 'meta':
      return meta(of.key as string, packet);
    case 'payload':
      return payload(of.protocol as string, of.field as string, packet);
    case 'ct':
      return ct(of.key as string, packet);
    case 'fib':
      if (of.result === 'type' && (of.flags as readonly Json[]).includes('daddr')) return packet.to;
      // Rules for reverse paths ask whether there is a route back; one is assumed, and `missing` is written as 0.
      return of.result === 'type' ? undefined : 'present';
    case 'concat':
      return (fields as readonly Json[]).map((one) => fieldOf(one, packet));
    case '&': {
      const [one, mask] = (fields as readonly Json[]).map((part) =>
        typeof part === 'number' ? part : fieldOf(part, packet),
      );
      if (one === absent) return absent;
      return typeof one === 'number' && typeof mask === 'number' ? one & mask : undefined;
    }
    case 'exthdr':
    case 'tcp option':
    case 'ip option':
      return absent;
    default:
      return undefined;
  }
}

function meta(key: string, packet: Packet): Value {
  const { family, protocol } = packet;
  const values: { readonly [key: string]: Value } = {
    iifname: packet.iif === '' ? absent : packet.iif,
    iif: packet.iif === '' ? absent : packet.iif,
    oifname: packet.oif === '' ? absent : packet.oif,
    oif: packet.oif === '' ? absent : packet.oif,
    ibrname: absent,
    obrname: absent,
    l4proto: protocol,
    nfproto: family === 4 ? 'ipv4' : 'ipv6',
    protocol: family === 4 ? 'ip' : 'ip6',
    mark: 0,
    pkttype: packet.to === 'local' ? 'unicast' : packet.to,
    // Of xt_physdev, which has no name in nft.
    physin: packet.physin ?? absent,
    physout: packet.physout ?? absent,
  };
  return values[key];
}

function payload(protocol: string, field: string, packet: Packet): Value {
  const { family } = packet;
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (family === 4)) return absent;
    const values = { saddr: packet.source, daddr: packet.destination };
    if (field === 'protocol' || field === 'nexthdr') return packet.protocol;
    return values[field as keyof typeof values];
  }
  if (['tcp', 'udp', 'th', 'sctp', 'dccp', 'udplite'].includes(protocol)) {
    const carries = protocol === 'th' ? ['tcp', 'udp'] : [protocol];
    if (!carries.includes(packet.protocol)) return absent;
    if (field === 'sport') return packet.sport;
    return field === 'dport' ? packet.dport : undefined;
  }
  if (protocol === 'icmp' || protocol === 'icmpv6') {
    if (packet.protocol !== (protocol === 'icmp' ? 'icmp' : 'ipv6-icmp')) return absent;
    return field === 'type' ? 'echo-request' : undefined;
  }
  return protocol === 'vlan' || protocol === 'arp' ? absent : undefined;
}

function ct(key: string, { state }: Packet): Value {
  const values: { readonly [key: string]: Value } = {
    state,
    // Neither translated nor marked.
    status: absent,
    mark: 0,
    direction: state === 'new' ? 'original' : 'reply',
  };
  return values[key];
}

/** Whether a value is what the right side of a match names. */
function isIn(value: Value, right: Json, place: Place): Tri {
  if (typeof right === 'boolean') return value === undefined ? undefined : (value === 'present') === right;
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = place.ruleset.elements(place.chain, right.slice(1));
    return elements && anyOf(elements.filter(isOfOne).map((one) => isIn(value, plain(one), place)));
  }
  if (Array.isArray(right)) return anyOf((right as readonly Json[]).map((one) => isIn(value, one, place)));
  if (typeof right === 'object' && right !== null) return isInObject(value, right as Fields, place);
  if (value === absent) return false;
  if (value === undefined || typeof value === 'object') return undefined;
  if (right === '*') return true;
  if (typeof right === 'string' && right.endsWith('*')) return String(value).startsWith(right.slice(0, -1));
  return sameText(value, right);
}

function isInObject(value: Value, right: Fields, place: Place): Tri {
  if ('set' in right) return isIn(value, right.set as readonly Json[], place);
  if ('elem' in right) return isIn(value, (right.elem as Fields).val as Json, place);
  if ('concat' in right) {
    const parts = right.concat as readonly Json[];
    if (!Array.isArray(value)) return undefined;
    return allOf(parts.map((part, i) => isIn((value as readonly Value[])[i], part, place)));
  }
  if (value === absent) return false;
  if (value === undefined || typeof value === 'object') return undefined;
  if ('prefix' in right) {
    const { addr, len } = right.prefix as { addr: string | number; len: number };
    // So nft lists a mask of a mark's upper bits, which are 32.
    if (typeof addr === 'number') {
      return typeof value === 'number' ? value >>> (32 - len) === addr >>> (32 - len) : undefined;
    }
    const network = parseNetwork(`${addr}/${len}`);
    const own = parseNetwork(String(value));
    if (network === undefined || own === undefined) return undefined;
    if (network.family !== own.family) return false;
    return networkOf({ ...own, prefix: len }).address === networkOf(network).address;
  }
  if ('range' in right) {
    const [first, last] = (right.range as readonly Json[]).map((one) => ordinal(one as string | number));
    const own = ordinal(value);
    if (first === undefined || last === undefined || own === undefined) return undefined;
    return own >= first && own <= last;
  }
  return undefined;
}

/** The elements of an inline or a named set or map; undefined where it is not known. */
const elementsOf = (data: Json, { ruleset, chain }: Place): readonly Json[] | undefined =>
  typeof data === 'string'
    ? ruleset.elements(chain, data.replace(/^@/, ''))
    : ((data as Fields | null)?.set as readonly Json[] | undefined);

/** Whether an element is for a packet by itself, and not only for what is beyond its limit. */
const isOfOne = (element: Json): boolean => {
  const { limit } = ((element as Fields | null)?.elem ?? {}) as { readonly limit?: Fields };
  return limit?.inv !== true;
};

/** An element without its comment, counter or timeout. */
const plain = (element: Json): Json =>
  typeof element === 'object' && element !== null && 'elem' in element
    ? ((element.elem as Fields).val as Json)
    : element;

function ordinal(value: string | number): bigint | undefined {
  if (typeof value === 'number') return BigInt(value);
  const address = parseNetwork(value);
  return address && addressValue(address);
}

/** Equal, whichever way a listing writes protocols and addresses. */
function sameText(value: string | number, right: Json): boolean {
  const names: { readonly [number: string]: string } = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' };
  const text = String(right);
  const written = names[text] ?? (text === 'icmpv6' ? 'ipv6-icmp' : text);
  if (String(value) === text || String(value) === written) return true;
  const [one, other] = [parseNetwork(String(value)), parseNetwork(text)];
  return one !== undefined && other !== undefined && one.address === other.address;
}
