import { execFileSync } from 'node:child_process';
import { formatMessage, MessageType, parseMessages } from 'netlink';
import { NetlinkSocket } from 'netlink-thread';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../../../test/support/exec.js';

/** RTNLGRP_LINK, RTM_GETLINK, NLM_F_REQUEST with NLM_F_ACK. */
const linkGroup = 1;
const getLink = 18;
const requestWithAck = 5;

const bridge = `nlt${process.pid}`;
let socket: NetlinkSocket | undefined;

const ip = (lines: string[]): Buffer => execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') });

beforeEach(() => ip([`link add ${bridge} type bridge`]));
afterEach(() => {
  socket?.close();
  ip([`link delete ${bridge}`]);
});

const flap = (times: number): Buffer =>
  ip(Array.from({ length: times }, (_, i) => `link set ${bridge} ${i % 2 === 0 ? 'up' : 'down'}`));

function listen(receiveBuffer?: number): { messages: number; overflows: number; answered: number[] } {
  const seen = { messages: 0, overflows: 0, answered: [] as number[] };
  socket = new NetlinkSocket({
    groups: [linkGroup],
    ...(receiveBuffer === undefined ? {} : { receiveBuffer }),
  })
    .on('overflow', () => {
      seen.overflows++;
    })
    .on('message', (data) => {
      for (const { type, seq } of parseMessages(data)) {
        seen.messages++;
        if (type === MessageType.ERROR) seen.answered.push(seq);
      }
    });
  return seen;
}

/** Asks for a device that is not there: one answer, and it is an error. */
function ask(seq: number): void {
  const data = [Buffer.alloc(16)];
  socket?.send(Buffer.concat(formatMessage({ type: getLink, flags: requestWithAck, seq, port: 0, data })));
}

test('an overflow is an event, and requests are answered after it', async () => {
  const seen = listen(1);
  await until('an overflow', () => {
    flap(100);
    return seen.overflows > 0;
  });
  ask(7);
  await until('an answer', () => seen.answered.includes(7));
});

test('while JavaScript is busy nothing is lost', async () => {
  const seen = listen();
  // execFileSync blocks the loop: all of this waits in the kernel, and would not fit into the buffer of the system.
  flap(2000);
  ask(8);
  await until('an answer', () => seen.answered.includes(8));
  expect(seen.overflows).toBe(0);
  expect(seen.messages).toBeGreaterThan(2000);
});
