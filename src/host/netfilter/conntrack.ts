import type { ActionOf } from '../../model/action.js';
import { isHost, type Network, networkOf } from '../../model/address.js';
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
 * The kernel's connection tracking entries. Networks that are forgotten at the same time share one socket: a socket for each
 * of hundreds of vifs would exhaust the descriptors.
 */
export class Conntrack {
  #netlink: NetlinkConnection | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
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
  async forget(which: Which): Promise<void> {
    this.#waiting++;
    clearTimeout(this.#timer);
    const mine = this.#turn.then(() => this.#forget(which));
    this.#turn = mine.catch(() => undefined);
    try {
      await mine;
    } finally {
      if (--this.#waiting === 0) this.#timer = setTimeout(() => this.close(), idleMs).unref();
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#netlink?.close();
    this.#netlink = undefined;
  }

  async #forget(which: Which): Promise<void> {
    const { network, untranslated, port } = which;
    // The file is absent without the module.
    if ((readSysctl('net/netfilter/nf_conntrack_count') ?? '0') === '0') return;
    this.#netlink ??= new NetlinkConnection(
      [],
      { message: (message) => this.#row(message), overflow: () => undefined },
      Protocol.NETFILTER,
    );
    const netlink = this.#netlink;
    const tuples: Buffer[] = [];
    this.#row = (message) => collect(message, which, tuples);
    for (const filter of filters(network).slice(...(port ? [1, 2] : untranslated ? [0, 1] : [])))
      await netlink.request(conntrackGet, 0x300, header(network), filter);
    for (const tuple of tuples) {
      const which = new AttrStream();
      which.emit(formatAttribute({ type: cta.tupleOrig, nested: true, data: tuple }));
      await netlink.remove(conntrackDelete, header(network), which);
    }
  }
}

/** struct nfgenmsg. */
const header = (network: Network): Buffer => Buffer.from([familyOf(network), 0, 0, 0]);

/**
 * Attributes of dumps that have the kernel select a host's entries, of perhaps hundreds of thousands (since Linux 5.8):
 * outgoing, incoming, and incoming by destination NAT. The kernel selects by no prefix, so a network takes one dump of all.
 */
function filters(network: Network): AttrStream[] {
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
  return [of('orig', 'source'), of('orig', 'destination'), of('reply', 'source')];
}

/** Keeps the original tuple of an entry that is meant; kernels before 5.8 send all entries. */
function collect(
  { data }: NetlinkMessage,
  { network, untranslated = false, port }: Which,
  tuples: Buffer[],
): void {
  const wanted = networkOf(network).address;
  const isIn = (address: string): boolean => networkOf({ ...network, address }).address === wanted;
  let original: { readonly tuple: Buffer; readonly ends: Ends } | undefined;
  let reply: Ends | undefined;
  parseAttributes(data.subarray(4), ({ type, data: tuple }) => {
    if (type === cta.tupleOrig) original = { tuple, ends: endsOf(tuple, network.family) };
    else if (type === cta.tupleReply) reply = endsOf(tuple, network.family);
  });
  if (original === undefined || reply === undefined) return;
  const { source, destination } = original.ends;
  const concerned = port
    ? isIn(destination) && isOf(port, original.ends) && !leadsTo(port.guest, reply)
    : untranslated
      ? isIn(source) && reply.destination === source
      : [source, destination, reply.source, reply.destination].some(isIn);
  if (concerned) tuples.push(original.tuple);
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
