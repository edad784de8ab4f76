import { setTimeout as sleep } from 'node:timers/promises';
import { Nftables } from 'node-libnftables';
import { NetlinkConnection } from '../netlink/connection.js';
import { type NetlinkMessage, Protocol, parseAttributes } from '../netlink/format.js';

// Numbers of linux/netfilter.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
const traceGroup = 9;
const getGeneration = (10 << 8) | 16;
const traceMessage = (10 << 8) | 17;
const families: { readonly [number: number]: string } = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};
const attribute = {
  table: 1,
  chain: 2,
  handle: 3,
  type: 4,
  verdict: 5,
  id: 6,
  link: 7,
  network: 8,
  transport: 9,
  mark: 14,
  policy: 16,
};
const types = { 1: 'policy', 2: 'return', 3: 'rule' } as const;
const verdicts: { readonly [code: number]: TraceEvent['verdict'] } = {
  0: 'drop',
  1: 'accept',
  2: 'stolen',
  3: 'queue',
};
/** struct nfgenmsg. */
const header = 4;

/** What one rule or policy did with a packet that is traced. */
export interface TraceEvent {
  /** The same for all events of one packet. */
  readonly id: number;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly type: 'policy' | 'return' | 'rule';
  /** Of the rule. */
  readonly handle: number | undefined;
  /** `continue` for all that does not end the chain. */
  readonly verdict: 'drop' | 'accept' | 'stolen' | 'queue' | 'continue';
  /** The packet's mark; 0 without one. */
  readonly mark: number;
  /** The packet's headers; only in the first event of each base chain. */
  readonly headers: Headers | undefined;
}

/** The beginnings of a packet's headers, as far as it has them. */
export interface Headers {
  readonly link: Buffer;
  readonly network: Buffer;
  readonly transport: Buffer;
}

/** What was traced, and why a table was refused. */
export interface Traces {
  readonly events: readonly TraceEvent[];
  /** Whether the kernel told more than could be read. */
  readonly isIncomplete: boolean;
  readonly refused: readonly string[];
}

/**
 * Installs tables that mark packets, each a transaction of its own, and listens to what happens to those for a time. Tables
 * with an owner go with this process, whatever ends it.
 */
export async function trace(tables: readonly string[], seconds: number): Promise<Traces> {
  const events: TraceEvent[] = [];
  const refused: string[] = [];
  let isIncomplete = false;
  const message = (one: NetlinkMessage): void => {
    const event = decodeTrace(one);
    if (event !== undefined) events.push(event);
  };
  const overflow = (): void => {
    isIncomplete = true;
  };
  const netlink = new NetlinkConnection(
    [traceGroup],
    { message, overflow },
    { protocol: Protocol.NETFILTER },
  );
  const nft = new Nftables();
  try {
    for (const text of tables) {
      await nft.runAside(text).catch((error: Error) => refused.push(error.message));
    }
    if (refused.length < tables.length) await sleep(1000 * seconds);
    // The kernel waits for the packets on their way before it lets the tables go, and answers after all that it has told of
    // them: without the answer a packet would seem to have ended where the reading has.
    nft.close();
    await netlink.request(getGeneration, 0, Buffer.alloc(header)).catch(overflow);
  } finally {
    nft.close();
    netlink.close();
  }
  return { events, isIncomplete, refused };
}

/** Decodes a message of the trace; undefined for any other. */
export function decodeTrace({ type, data }: Pick<NetlinkMessage, 'type' | 'data'>): TraceEvent | undefined {
  if (type !== traceMessage) return undefined;
  const of = new Map<number, Buffer>();
  parseAttributes(data.subarray(header), ({ type: key, data: value }) => of.set(key, value));
  const number = (key: number): number | undefined => of.get(key)?.readUInt32BE(0);
  const text = (key: number): string => (of.get(key) ?? empty).toString('utf8').replace(/\0.*$/s, '');
  const kind = types[(number(attribute.type) ?? 0) as keyof typeof types];
  const id = number(attribute.id);
  if (kind === undefined || id === undefined) return undefined;
  const network = of.get(attribute.network);
  return {
    id,
    family: families[data.readUInt8(0)] ?? '',
    table: text(attribute.table),
    chain: text(attribute.chain),
    type: kind,
    handle: kind === 'rule' ? Number(of.get(attribute.handle)?.readBigUInt64BE(0) ?? 0) : undefined,
    verdict:
      verdicts[(kind === 'policy' ? number(attribute.policy) : codeOf(of.get(attribute.verdict))) ?? -1] ??
      'continue',
    mark: number(attribute.mark) ?? 0,
    headers:
      network === undefined
        ? undefined
        : { link: of.get(attribute.link) ?? empty, network, transport: of.get(attribute.transport) ?? empty },
  };
}

const empty = Buffer.alloc(0);

/** NFTA_VERDICT_CODE; below zero it is one of nf_tables' own, by which the packet goes on. */
function codeOf(verdict: Buffer | undefined): number | undefined {
  let code: number | undefined;
  if (verdict)
    parseAttributes(verdict, ({ type, data }) => {
      if (type === 1) code = data.readInt32BE(0);
    });
  return code;
}
