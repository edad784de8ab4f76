import {
  decode,
  decodeChain,
  decodeElements,
  decodeGeneration,
  decodeRule,
  decodeSet,
  decodeTableFlags,
} from '../../../src/host/netfilter/messages.js';
import { decodeTrace } from '../../../src/host/netfilter/trace.js';
import { type NetlinkMessage, parseMessages } from '../../../src/host/netlink/format.js';
import { decodePort } from '../../../src/host/rtnetlink/bridge-port-message.js';
import { decodeAddress, decodeLink } from '../../../src/host/rtnetlink/link-message.js';
import { decodeNeighbour } from '../../../src/host/rtnetlink/neighbour-state.js';
import { decodeRoutes } from '../../../src/host/rtnetlink/route-message.js';
import type { Target } from '../targets.js';

const decoders: readonly ((message: NetlinkMessage) => unknown)[] = [
  ({ data }) => decodeLink(data),
  ({ data }) => decodeAddress(data),
  ({ data }) => decodeNeighbour(data),
  ({ data }) => decodeRoutes(data),
  decodePort,
  decodeGeneration,
  decodeTrace,
  (message) => {
    const row = decode(message);
    if (row === undefined) return;
    decodeTableFlags(row);
    decodeChain(row);
    decodeRule(row);
    decodeSet(row);
    decodeElements(row, ['ifname', 'ether_addr']);
    decodeElements(row, ['ifname', 'number'], { value: ['ipv4_addr', 'inet_service'], limit: 'bytes' });
  },
];

/** A message with these bytes behind its header. */
function message(type: number, ...data: number[]): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + data.length, 0);
  header.writeUInt16LE(type, 4);
  return Buffer.concat([header, Buffer.from(data), Buffer.alloc(-data.length & 3)]);
}

const attribute = (type: number, ...value: number[]): number[] => [
  4 + value.length,
  0,
  type & 255,
  type >> 8,
  ...value,
  ...Array<number>(-value.length & 3).fill(0),
];
const text = (of: string): number[] => [...Buffer.from(of), 0];
const zeros = (count: number): number[] => Array<number>(count).fill(0);

/** Which decoder, and the datagram. */
const seed = (decoder: number, ...messages: Buffer[]): Buffer =>
  Buffer.concat([Buffer.of(decoder), ...messages]);

/** The kernel's datagrams: each is taken or refused in bounded time, by an error that says so. */
export const netlink: Target = {
  name: 'netlink',
  seeds: [
    seed(
      0,
      message(
        16,
        ...zeros(16),
        ...attribute(3, ...text('vif5.0')),
        ...attribute(4, 220, 5, 0, 0),
        ...attribute(18, ...attribute(1, ...text('bridge')), ...attribute(2, ...attribute(7, 1))),
      ),
    ),
    seed(1, message(20, 2, 24, 0, 0, 3, 0, 0, 0, ...attribute(1, 10, 0, 0, 1), ...attribute(2, 10, 0, 0, 2))),
    seed(
      2,
      message(
        28,
        2,
        0,
        0,
        0,
        3,
        0,
        0,
        0,
        128,
        0,
        8,
        0,
        ...attribute(1, 10, 0, 0, 1),
        ...attribute(2, 1, 2, 3, 4, 5, 6),
      ),
    ),
    seed(
      3,
      message(
        24,
        2,
        32,
        0,
        0,
        254,
        3,
        0,
        1,
        ...zeros(4),
        ...attribute(1, 10, 0, 0, 1),
        ...attribute(4, 3, 0, 0, 0),
        ...attribute(9, ...zeros(8)),
      ),
    ),
    seed(
      4,
      message(
        16,
        7,
        ...zeros(15),
        ...attribute(26, ...attribute(2, 1, 0, 10, 0)),
        ...attribute(12, ...attribute(1, 3)),
      ),
    ),
    seed(
      6,
      message(
        0x0a11,
        ...zeros(4),
        ...attribute(1, ...text('vifd')),
        ...attribute(4, 0, 0, 0, 1),
        ...attribute(3, 0, 0, 0, 2),
      ),
    ),
    seed(
      7,
      message(
        0x0a03,
        5,
        0,
        0,
        0,
        ...attribute(1, ...text('vifd')),
        ...attribute(3, ...text('vif5.0_12')),
        ...attribute(4, ...attribute(3, ...text('vif5.0'))),
      ),
    ),
    seed(
      7,
      message(
        0x0a0c,
        5,
        0,
        0,
        0,
        ...attribute(1, ...text('vifd')),
        ...attribute(2, ...text('macs')),
        ...attribute(3, ...attribute(1, ...attribute(1, ...attribute(1, ...text('vif5.0'))))),
      ),
    ),
  ],
  words: [],
  longest: 600,
  run(input) {
    const decoder = decoders[(input[0] ?? 0) % decoders.length];
    try {
      for (const message of parseMessages(input.subarray(1))) decoder?.(message);
    } catch (error) {
      // One that is cut, which the kernel does not send.
      if (
        !(error instanceof RangeError) &&
        !/is cut|Not enough data|bytes|length|Cannot convert 0x to a BigInt/i.test(String(error))
      )
        throw error;
    }
  },
};
