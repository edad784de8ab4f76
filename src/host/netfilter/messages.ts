import { type KeyPart, tables } from '../../model/nft.js';
import { formatNumbers, formatRange } from '../../nft/elements.js';
import { eachAttribute } from '../netlink/attributes.js';
import type { NetlinkMessage } from '../netlink/format.js';

// Numbers of linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h and libnftnl/udata.h. Netlink's own integers are
// in the host's byte order, nf_tables' in the network's.
const subsystem = 10 << 8;
export const nft = {
  newTable: subsystem | 0,
  getTable: subsystem | 1,
  delTable: subsystem | 2,
  newChain: subsystem | 3,
  getChain: subsystem | 4,
  delChain: subsystem | 5,
  newRule: subsystem | 6,
  getRule: subsystem | 7,
  delRule: subsystem | 8,
  newSet: subsystem | 9,
  getSet: subsystem | 10,
  delSet: subsystem | 11,
  newElements: subsystem | 12,
  getElements: subsystem | 13,
  delElements: subsystem | 14,
  newGeneration: subsystem | 15,
};
/** NFT_MSG_DESTROYTABLE to _DESTROYSETELEM (Linux 6.3), which announce a deletion by `destroy`, as the types for `delete`. */
const destroyed: ReadonlyMap<number, number> = new Map([
  [subsystem | 26, nft.delTable],
  [subsystem | 27, nft.delChain],
  [subsystem | 28, nft.delRule],
  [subsystem | 29, nft.delSet],
  [subsystem | 30, nft.delElements],
]);
export const family = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };
const familyNames: ReadonlyMap<number, string> = new Map(
  Object.entries(family).map(([name, number]) => [number, name]),
);
export const tableFlags = { dormant: 1, owner: 2, persist: 4 };
export const policyDrop = 0;
/** The table's name is attribute 1 of every kind of message. */
export const attribute = { table: 1, elementsSet: 2 };
const tableAttribute = { flags: 2 };
const chainAttribute = { handle: 2, name: 3, hook: 4, policy: 5 };
const hookAttribute = { device: 3, devices: 4 };
const ruleAttribute = { chain: 2, handle: 3, userdata: 7 };
const setAttribute = { name: 2, flags: 3 };
const setFlags = { anonymous: 1 };
const elementList = 3;
const elementAttribute = { key: 1, data: 2, userdata: 6, expression: 7, keyEnd: 10, expressions: 11 };
const expressionAttribute = { name: 1, data: 2 };
const counterPackets = 2;
const limitAttribute = { rate: 1, unit: 2, burst: 3, type: 4, flags: 5 };
const limitInverted = 1;
const generationPid = 2;
const commentType = 0;
/** struct nfgenmsg. */
const header = 4;

/** A message of nf_tables, decoded as far as all kinds are alike. */
export interface NftMessage {
  /** One of {@link nft}. */
  readonly type: number;
  /** As nft names it: `inet vifd`. */
  readonly table: string;
  readonly of: ReadonlyMap<number, Buffer>;
}

/** Whether a message is about one of vifd's tables. */
export const isOurs = ({ table }: NftMessage): boolean => (tables as readonly string[]).includes(table);

/** Decodes a message about a table, or an object in one; undefined for any other. */
export function decode({ type: sent, data }: NetlinkMessage): NftMessage | undefined {
  const type = destroyed.get(sent) ?? sent;
  if (type >> 8 !== subsystem >> 8 || type >= nft.newGeneration) return undefined;
  const of = collect(data.subarray(header));
  return { type, table: `${familyNames.get(data.readUInt8(0))} ${text(of.get(attribute.table))}`, of };
}

/** The id of the thread whose transaction ends with this message (NFT_MSG_NEWGEN); undefined for any other message. */
export function decodeGeneration({ type, data }: NetlinkMessage): number | undefined {
  if (type !== nft.newGeneration) return undefined;
  return number(collect(data.subarray(header)).get(generationPid));
}

export const decodeTableFlags = ({ of }: NftMessage): number => number(of.get(tableAttribute.flags)) ?? 0;

/** A chain; `device` is empty and `policy` undefined where the message has none. */
export const decodeChain = ({
  of,
}: NftMessage): { name: string; handle: bigint; hooked: boolean; device: string; policy?: number } => {
  const policy = number(of.get(chainAttribute.policy));
  return {
    name: text(of.get(chainAttribute.name)),
    handle: of.get(chainAttribute.handle)?.readBigUInt64BE(0) ?? 0n,
    hooked: of.has(chainAttribute.hook),
    device: deviceOf(of.get(chainAttribute.hook)),
    ...(policy === undefined ? {} : { policy }),
  };
};

export const decodeRule = ({ of }: NftMessage): { chain: string; handle: bigint; comment: string } => ({
  chain: text(of.get(ruleAttribute.chain)),
  handle: of.get(ruleAttribute.handle)?.readBigUInt64BE(0) ?? 0n,
  comment: comment(of.get(ruleAttribute.userdata)),
});

/** A set; an anonymous one is part of a rule. */
export const decodeSet = ({ of }: NftMessage): { name: string; anonymous: boolean } => ({
  name: text(of.get(setAttribute.name)),
  anonymous: ((number(of.get(setAttribute.flags)) ?? 0) & setFlags.anonymous) !== 0,
});

/** The name of the set that a message's elements are in. */
export const setOf = ({ of }: NftMessage): string => text(of.get(attribute.elementsSet));

export interface DecodedElement {
  readonly key: string[];
  readonly comment: string;
  /** The packets of its counter; undefined where it has none. */
  readonly packets: bigint | undefined;
}

/** The elements of a message whose keys, and in a map values, have these parts. */
export function decodeElements(
  { of }: NftMessage,
  parts: readonly KeyPart[],
  { value: valueParts = [], limit }: { value?: readonly KeyPart[]; limit?: 'bytes' | 'packets' } = {},
): DecodedElement[] {
  const elements: DecodedElement[] = [];
  each(of.get(elementList), (element) => {
    const found = collect(element);
    const data = (type: number): Buffer | undefined => collect(found.get(type) ?? empty).get(1);
    const first = data(elementAttribute.key);
    const value = data(elementAttribute.data) ?? empty;
    elements.push({
      // A catch-all element has no key.
      key: [
        ...(first === undefined ? ['*'] : decodeKey(first, data(elementAttribute.keyEnd) ?? first, parts)),
        ...(valueParts.length === 0 ? [] : decodeKey(value, value, valueParts)),
        ...(limit === undefined ? [] : decodeLimit(found, limit)),
      ],
      comment: comment(found.get(elementAttribute.userdata)),
      packets: countedPackets(found),
    });
  });
  return elements;
}

const sizes = {
  ifname: 16,
  ether_addr: 6,
  ipv4_addr: 4,
  ipv6_addr: 16,
  iface_index: 4,
  nf_proto: 1,
  mark: 4,
  inet_proto: 1,
  inet_service: 2,
} as const;

const protocols: ReadonlyMap<number, string> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
]);

/** The parts of a key as nft writes them. Each begins at a multiple of 4 bytes; a number takes all bytes that are left. */
function decodeKey(first: Buffer, last: Buffer, parts: readonly KeyPart[]): string[] {
  let at = 0;
  return parts.map((part): string => {
    const size = part === 'number' ? numberSize(first.length - at) : sizes[part];
    const [from, to] = [first, last].map((key) => key.subarray(at, at + size)) as [Buffer, Buffer];
    at += Math.ceil(size / 4) * 4;
    const range = () => ({ first: value(from), last: value(to) });
    switch (part) {
      case 'ifname':
        return text(from);
      case 'ether_addr':
        return from.toString('hex').replace(/(..)(?=.)/g, '$1:');
      case 'ipv4_addr':
        return formatRange(range(), 4);
      case 'ipv6_addr':
        return formatRange(range(), 6);
      case 'inet_proto':
        return protocols.get(from[0] ?? 0) ?? `${from[0]}`;
      case 'nf_proto':
        return from[0] === 10 ? 'ipv6' : from[0] === 2 ? 'ipv4' : `${from[0] ?? ''}`;
      case 'inet_service':
        return `${from.length < 2 ? '' : from.readUInt16BE(0)}`;
      case 'number':
        return formatNumbers(range(), 8 * size);
      default:
        return `${from.length < 4 ? '' : from.readUInt32LE(0)}`;
    }
  });
}

/** The bytes of a number that ends a key, whose parts are padded to multiples of 4. */
const numberSize = (left: number): number => (left >= 16 ? 16 : left >= 8 ? 6 : 4);

const value = (bytes: Buffer): bigint => (bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`));

const countedPackets = (element: ReadonlyMap<number, Buffer>): bigint | undefined =>
  expressionOf(element, 'counter')?.get(counterPackets)?.readBigUInt64BE(0);

/** Rate a second and burst of an element's limit as vifd makes one; empty texts for another, and where there is none. */
function decodeLimit(element: ReadonlyMap<number, Buffer>, unit: 'bytes' | 'packets'): string[] {
  const limit = expressionOf(element, 'limit');
  const long = (type: number): bigint | undefined => limit?.get(type)?.readBigUInt64BE(0);
  const isOurs =
    long(limitAttribute.unit) === 1n &&
    number(limit?.get(limitAttribute.type)) === (unit === 'bytes' ? 1 : 0) &&
    number(limit?.get(limitAttribute.flags)) === limitInverted;
  return isOurs ? [`${long(limitAttribute.rate)}`, `${number(limit?.get(limitAttribute.burst))}`] : ['', ''];
}

/** The attributes of an element's expression of this name; undefined where it has none. */
function expressionOf(
  element: ReadonlyMap<number, Buffer>,
  name: string,
): ReadonlyMap<number, Buffer> | undefined {
  let found: ReadonlyMap<number, Buffer> | undefined;
  const look = (expression: Buffer): void => {
    const parts = collect(expression);
    if (text(parts.get(expressionAttribute.name)) === name)
      found = collect(parts.get(expressionAttribute.data) ?? empty);
  };
  const single = element.get(elementAttribute.expression);
  if (single) look(single);
  else each(element.get(elementAttribute.expressions), look);
  return found;
}

function deviceOf(hook: Buffer | undefined): string {
  const of = collect(hook ?? empty);
  let device = text(of.get(hookAttribute.device));
  each(of.get(hookAttribute.devices), (name) => {
    device ||= text(name);
  });
  return device;
}

/** The comment in the userdata that nft(8) keeps with a rule or an element: type and length, a byte each, and value. */
function comment(userdata: Buffer | undefined): string {
  for (let rest = userdata ?? empty; rest.length >= 2; rest = rest.subarray(2 + rest.readUInt8(1))) {
    if (rest.readUInt8(0) === commentType) return text(rest.subarray(2, 2 + rest.readUInt8(1)));
  }
  return '';
}

function collect(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  eachAttribute(data, 0, (type, at, length) => void found.set(type, data.subarray(at, at + length)));
  return found;
}

function each(list: Buffer | undefined, visit: (item: Buffer) => void): void {
  if (list) eachAttribute(list, 0, (_, at, length) => visit(list.subarray(at, at + length)));
}

const empty = Buffer.alloc(0);
const number = (data: Buffer | undefined): number | undefined => data?.readUInt32BE(0);
const text = (data: Buffer | undefined): string => (data ?? empty).toString('utf8').replace(/\0.*$/s, '');
