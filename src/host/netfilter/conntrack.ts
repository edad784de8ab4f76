import type { ActionOf } from '../../model/action.js';
import { isHost, networkOf } from '../../model/address.js';
import { GroupQueue } from '../group-queue.js';
import { Grouped } from '../grouped.js';
import { addressBytes, formatBytes } from '../netlink/address-bytes.js';
import { NetlinkConnection } from '../netlink/connection.js';
import {
  AttrStream,
  formatAttribute,
  type NetlinkMessage,
  Protocol,
  parseAttributes,
  putU32,
} from '../netlink/format.js';
import { familyOf } from '../rtnetlink/link-message.js';
import { readSysctl } from '../sysctl.js';

// Numbers of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const conntrackGet = 0x101;
const conntrackDelete = 0x102;
const cta = { tupleOrig: 1, tupleReply: 2, filter: 25 };
const ctaTupleIp = 1;
const ctaIp = { 4: { source: 1, destination: 2 }, 6: { source: 3, destination: 4 } } as const;
const ctaTupleProtocol = 2;
const ctaProtocol = { number: 1, source: 2, destination: 3 };
const protocols = { tcp: 6, udp: 17 };
const ctaFilter = { orig: 1, reply: 2 };
const filterOn = { source: 1, destination: 2 };

/** How long the socket stays open without a request, in ms. */
const idleMs = 1000;

/** Which entries are meant. */
type Which = Omit<ActionOf<'forget-connections'>, 'kind'>;

/**
 * The kernel's connection tracking entries. What is asked for while a listing is under way is looked for in the next one together:
 * each goes through the kernel's whole table, of all network namespaces, in 3 ms where that has 262,144 buckets.
 */
export class Conntrack {
  #netlink: NetlinkConnection | undefined;
  readonly #queue = new GroupQueue<Which>((all) => this.#forgetAll(all));
  #timer: NodeJS.Timeout | undefined;
  /** Receives the entries of the listing under way. */
  #row: (message: NetlinkMessage) => void = () => undefined;

  /**
   * Deletes the entries of the addresses in a network, at either end and in either direction, so that the next guest with an
   * address gets no packets of its former guest's connections.
   * @param which.untranslated only those that began there and are not masqueraded: the kernel decides that by a
   *   connection's first packet
   * @param which.port only those that began with a packet to it, but for those that lead to its guest
   * @throws NetlinkError
   */
  forget(which: Which): Promise<void> {
    return this.#queue.perform(which);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#netlink?.close();
    this.#netlink = undefined;
  }

  async #forgetAll(all: readonly Which[]): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#forget(all);
    } finally {
      this.#timer = setTimeout(() => this.close(), idleMs).unref();
    }
  }

  async #forget(all: readonly Which[]): Promise<void> {
    // The files are absent without the module.
    const [entries = 0, buckets = 0] = ['count', 'buckets'].map((what) =>
      Number(readSysctl(`net/netfilter/nf_conntrack_${what}`) ?? 0),
    );
    if (entries === 0) return;
    this.#netlink ??= new NetlinkConnection(
      [],
      { message: (message) => this.#row(message), overflow: () => undefined },
      { protocol: Protocol.NETFILTER },
    );
    const netlink = this.#netlink;
    const wanted = new Wanted(all);
    const found = new Map<string, Entry>();
    this.#row = ({ data }) => {
      const entry = entryOf(data);
      if (entry !== undefined && wanted.has(entry)) found.set(entry.tuple.toString('latin1'), entry);
    };
    const listings = all.flatMap((which) =>
      filters(which).map((filter) => ({ family: familyOf(which.network), filter })),
    );
    // An entry that is sent and read takes 10 µs, a bucket that is passed over 13 ns.
    const isCheapest = entries * 800 < (listings.length - 1) * buckets;
    for (const { family, filter } of isCheapest ? [everything] : listings)
      await netlink.request(conntrackGet, 0x300, header(family), filter);
    for (const { family, tuple } of found.values()) {
      const which = new AttrStream();
      which.emit(formatAttribute({ type: cta.tupleOrig, nested: true, data: tuple }));
      await netlink.remove(conntrackDelete, header(family), which);
    }
  }
}

/** struct nfgenmsg. */
const header = (family: number): Buffer => Buffer.from([family, 0, 0, 0]);

/** The listing of the entries of both families. */
const everything = { family: 0, filter: new AttrStream() };

/**
 * Attributes of dumps that have the kernel select a host's entries, of perhaps hundreds of thousands (since Linux 5.8):
 * outgoing, incoming, and incoming by destination NAT. The kernel selects by no prefix, so a network takes one dump of all.
 */
function filters({ network, untranslated, port }: Which): AttrStream[] {
  if (!isHost(network)) return [new AttrStream()];
  const of = (tuple: 'orig' | 'reply', end: 'source' | 'destination'): AttrStream => {
    const address = formatAttribute({ type: ctaIp[network.family][end], data: addressBytes(network) });
    const ip = formatAttribute({ type: ctaTupleIp, nested: true, data: address });
    const flags = [ctaFilter.orig, ctaFilter.reply].flatMap((type) =>
      formatAttribute({ type, data: putU32(type === ctaFilter[tuple] ? filterOn[end] : 0) }),
    );
    const type = tuple === 'orig' ? cta.tupleOrig : cta.tupleReply;
    const stream = new AttrStream();
    stream.emit(formatAttribute({ type, nested: true, data: ip }));
    stream.emit(formatAttribute({ type: cta.filter, nested: true, data: flags }));
    return stream;
  };
  if (port) return [of('orig', 'destination')];
  if (untranslated) return [of('orig', 'source')];
  return [of('orig', 'source'), of('orig', 'destination'), of('reply', 'source')];
}

/** An entry as the kernel lists it. */
interface Entry {
  readonly family: number;
  /** Of the first packet, by which an entry is deleted. */
  readonly tuple: Buffer;
  readonly original: Ends;
  readonly reply: Ends;
}

/** The entry of a message; undefined for one that lacks a tuple. */
function entryOf(data: Buffer): Entry | undefined {
  const family = data.readUInt8(0);
  const version = family === familyOf({ family: 4 }) ? 4 : 6;
  let original: { readonly tuple: Buffer; readonly ends: Ends } | undefined;
  let reply: Ends | undefined;
  parseAttributes(data.subarray(4), ({ type, data: tuple }) => {
    if (type === cta.tupleOrig) original = { tuple, ends: endsOf(tuple, version) };
    else if (type === cta.tupleReply) reply = endsOf(tuple, version);
  });
  return original && reply && { family, tuple: original.tuple, original: original.ends, reply };
}

/** Which entries are to go, of all that are asked for together; kernels before 5.8 send others as well. */
class Wanted {
  readonly #byHost = new Grouped<string, Which>();
  readonly #networks: readonly Which[];

  constructor(all: readonly Which[]) {
    this.#networks = all.filter(({ network }) => !isHost(network));
    for (const which of all)
      if (isHost(which.network)) this.#byHost.add(networkOf(which.network).address, which);
  }

  has(entry: Entry): boolean {
    const { original, reply } = entry;
    const ends = [original.source, original.destination, reply.source, reply.destination];
    return (
      ends.some((address) => this.#byHost.of(address).some((which) => isMeant(entry, which))) ||
      this.#networks.some((which) => isMeant(entry, which))
    );
  }
}

function isMeant(
  { family, original, reply }: Entry,
  { network, untranslated = false, port }: Which,
): boolean {
  if (family !== familyOf(network)) return false;
  const wanted = networkOf(network).address;
  const isIn = (address: string): boolean => networkOf({ ...network, address }).address === wanted;
  const { source, destination } = original;
  if (port) return isIn(destination) && isOf(port, original) && !leadsTo(port.guest, reply);
  if (untranslated) return isIn(source) && reply.destination === source;
  return [source, destination, reply.source, reply.destination].some(isIn);
}

type Port = NonNullable<Which['port']>;

const isOf = (wanted: Port, { protocol, port }: Ends): boolean =>
  protocol === protocols[wanted.protocol] && port === wanted.port;

const leadsTo = (guest: Port['guest'], { source, from }: Ends): boolean =>
  source === guest?.address && from === guest.port;

interface Ends {
  readonly source: string;
  readonly destination: string;
  /** Its number, and the ports of the source and the destination. */
  readonly protocol: number;
  readonly from: number;
  readonly port: number;
}

/** The ends of a tuple. */
function endsOf(tuple: Buffer, version: 4 | 6): Ends {
  const ends = { source: '', destination: '', protocol: 0, from: 0, port: 0 };
  parseAttributes(tuple, ({ type: part, data: of }) => {
    parseAttributes(of, ({ type, data }) => {
      if (part === ctaTupleIp) {
        if (type === ctaIp[version].source) ends.source = formatBytes(data);
        else if (type === ctaIp[version].destination) ends.destination = formatBytes(data);
      } else if (part === ctaTupleProtocol) {
        if (type === ctaProtocol.number) ends.protocol = data.readUInt8(0);
        else if (type === ctaProtocol.source) ends.from = data.readUInt16BE(0);
        else if (type === ctaProtocol.destination) ends.port = data.readUInt16BE(0);
      }
    });
  });
  return ends;
}
