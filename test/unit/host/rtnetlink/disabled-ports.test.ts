import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { NetlinkMessage } from '../../../../src/host/netlink/format.js';
import { decodePort } from '../../../../src/host/rtnetlink/bridge-port-message.js';
import { DisabledPorts } from '../../../../src/host/rtnetlink/disabled-ports.js';
import { rtm } from '../../../../src/host/rtnetlink/link-message.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const [disabled, forwarding] = ['00', '03'];
const [running, noCarrier] = ['4310', '0310'];

/** A message of AF_BRIDGE about a port of bridge 3, with IFLA_BRPORT_STATE and another attribute in IFLA_PROTINFO. */
function message(index: number, state: string, { type = rtm.newLink, flags = running } = {}): NetlinkMessage {
  const data = `07000100${`0${index}`}000000${flags}000000000000${'08000a0003000000'}14000c80${`05000100${state}000000`}0500210001000000`;
  return { type, flags: 0, seq: 0, port: 0, data: Buffer.from(data, 'hex') };
}

const states = (messages: readonly NetlinkMessage[]) =>
  messages.map((one) => `${one.data.readInt32LE(4)} ${decodePort(one)?.waiting ?? 'forwards'}`);

test.each([
  ['that stays disabled is told of after a while', [message(5, disabled)], ['5 disabled']],
  ['that leaves its bridge is not', [message(5, disabled), message(5, disabled, { type: rtm.delLink })], []],
  ['that forwards again is not', [message(5, disabled), message(5, forwarding)], []],
  ['is told of whatever another does', [message(5, disabled), message(6, forwarding)], ['5 disabled']],
])('a port %s, and all else of it at once', (_, messages, told) => {
  const late: NetlinkMessage[] = [];
  const ports = new DisabledPorts((one) => late.push(one));
  const now = messages.map((one) => ports.now(one));
  expect(states(now)[0]).toBe('5 forwards');
  expect(now.slice(1)).toEqual(messages.slice(1));
  expect(now.map((one) => decodePort(one)?.isolated)).toEqual(messages.map(() => true));
  expect(late).toEqual([]);
  vi.advanceTimersByTime(200);
  expect(states(late)).toEqual(told);
});

test('a port without a carrier is disabled by the kernel, and nothing is held back; nor is anything after the end', () => {
  const late: NetlinkMessage[] = [];
  const ports = new DisabledPorts((one) => late.push(one));
  const down = message(5, disabled, { flags: noCarrier });
  expect(ports.now(down)).toBe(down);
  ports.now(message(5, disabled));
  ports.close();
  vi.advanceTimersByTime(200);
  expect(late).toEqual([]);
});
