import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Events, type VifEvent } from '../../../src/observe/events.js';

let lines: { msg: string; vif: string; leftOut?: number; level: number }[];
let events: Events;
const id = { domid: 5, devid: 0 };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] });
  lines = [];
  events = new Events(pino({ base: null }, { write: (line) => lines.push(JSON.parse(line)) }));
});
afterEach(() => {
  vi.useRealTimers();
});

test('an event is a line with its fields, is kept, and is passed on until the follower has enough', () => {
  const followed: VifEvent[] = [];
  const stop = events.follow((event) => followed.push(event));
  events.tell('attached', id, { topology: 'bridge', bridge: 'xenbr0', mtu: 1500, ms: 1 });
  stop();
  events.tell('failed', id, { error: 'no' });
  expect(followed).toEqual([
    expect.objectContaining({ kind: 'attached', vif: 'vif5.0', domid: 5, devid: 0, bridge: 'xenbr0' }),
  ]);
  expect(events.recent('vif5.0').map(({ kind }) => kind)).toEqual(['attached', 'failed']);
  expect(lines).toMatchObject([
    { level: 30, msg: 'vif attached', vif: 'vif5.0', bridge: 'xenbr0', mtu: 1500 },
    { level: 40, msg: 'vif not attached', vif: 'vif5.0', error: 'no' },
  ]);
});

test('the line of a degraded vif has the codes of what it goes without, each once; the event has all', () => {
  const lack = (target: string) => ({
    code: 'key-unused' as const,
    kind: 'configuration' as const,
    message: `use the key ${target}`,
    isNew: true,
  });
  const problems = [lack('gatewaydev'), lack('vlan')];
  events.tell('degraded', id, { missing: problems.map(({ message }) => message), problems });
  expect(lines).toMatchObject([
    { msg: 'vif degraded', errorCode: ['key-unused'], errorKind: ['configuration'] },
  ]);
  expect(lines[0]).not.toHaveProperty('problems');
  expect(events.recent('vif5.0')).toMatchObject([{ problems }]);
});

test('a vif that flaps writes 20 lines in 10 s, the next one after that says how many were left out', () => {
  vi.advanceTimersByTime(60_000);
  for (let i = 0; i < 50; i++) events.tell('repaired', id);
  events.tell('attached', { domid: 6, devid: 0 });
  expect(lines.filter(({ vif }) => vif === 'vif5.0')).toHaveLength(20);
  expect(lines.filter(({ vif }) => vif === 'vif6.0')).toHaveLength(1);
  vi.advanceTimersByTime(10_001);
  events.tell('repaired', id);
  expect(lines.at(-1)).toMatchObject({ vif: 'vif5.0', leftOut: 30 });
  events.tell('repaired', id);
  expect(lines.at(-1)).not.toHaveProperty('leftOut');
});

test('the history keeps the last 32 of a vif, and followers miss none', () => {
  let followed = 0;
  events.follow(() => followed++);
  for (let i = 0; i < 100; i++) events.tell('repaired', id, { mtu: i });
  expect(events.recent('vif5.0').map(({ mtu }) => mtu)).toEqual(Array.from({ length: 32 }, (_, i) => 68 + i));
  expect(followed).toBe(100);
});

test('it keeps 1024 vifs, those unheard of for longest go', () => {
  for (let domid = 1; domid <= 1024; domid++) events.tell('attached', { domid, devid: 0 });
  events.tell('removed', { domid: 1, devid: 0 });
  events.tell('attached', { domid: 2000, devid: 0 });
  expect(events.recent('vif1.0')).toHaveLength(2);
  expect(events.recent('vif2.0')).toEqual([]);
  expect(events.recent()).toHaveLength(1025);
});

test('all of them come in the order in which they happened', () => {
  for (const domid of [5, 6, 5]) {
    events.tell('repaired', { domid, devid: 0 });
    vi.advanceTimersByTime(1);
  }
  expect(events.recent().map(({ vif }) => vif)).toEqual(['vif5.0', 'vif6.0', 'vif5.0']);
  expect(events.recent('vif9.0')).toEqual([]);
});
