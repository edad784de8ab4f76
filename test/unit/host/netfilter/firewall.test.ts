import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Firewall } from '../../../../src/host/netfilter/firewall.js';
import type { ForeignRules } from '../../../../src/host/netfilter/foreign-ruleset.js';
import { parseRuleset } from '../../../../src/nft/walk/ruleset.js';

/** What is read next, and how often it was. */
let rules: ForeignRules;
let reads = 0;
vi.mock('../../../../src/host/netfilter/foreign-ruleset.js', () => ({
  readForeignRuleset: async () => {
    reads++;
    return rules;
  },
}));

// Those of the machine that runs this are no part of it.
vi.mock('../../../../src/host/netfilter/iptables-legacy.js', () => ({
  hasLegacy: () => false,
  legacyFamilies: () => [],
}));

const chain = { family: 'inet', table: 'fw', name: 'f', type: 'filter', hook: 'forward', prio: 0 };
const dropping = parseRuleset(JSON.stringify({ nftables: [{ chain: { ...chain, policy: 'drop' } }] }), '');
const unreadLegacy: string[] = [];
const way = { vif: 'vif5.0', out: 'eth0', family: 4, guest: '10.0.5.1' } as const;

let warnings: unknown[];
let news: number;
let firewall: Firewall;
beforeEach(() => {
  warnings = [];
  news = 0;
  const write = (line: string): void => void warnings.push(JSON.parse(line).err.message);
  firewall = new Firewall(() => void news++, pino({ level: 'warn', base: null }, { write }));
});

afterEach(() => {
  firewall.close();
  vi.useRealTimers();
});

/** Has a program change its filters every 50 ms, so many times. @returns how often they were read meanwhile */
async function flood(changes: number): Promise<number> {
  const before = reads;
  for (let i = 0; i < changes; i++) {
    rules = { ruleset: dropping, unreadLegacy, text: `${reads} ${i}` };
    firewall.change();
    await vi.advanceTimersByTimeAsync(50);
  }
  return reads - before;
}

test('filters that change without an end are read ever more rarely, up to once a minute; other changes at once', async () => {
  vi.useFakeTimers();
  expect(await flood(1)).toBe(0);
  await vi.advanceTimersByTimeAsync(200);
  expect(reads).toBe(1);
  await vi.advanceTimersByTimeAsync(10_000);
  // For 5 minutes: after 0.2, 2, 4, 8, 16, 32 s, and then each minute.
  expect(await flood(6000)).toBe(9);
  await vi.advanceTimersByTimeAsync(180_000);
  const before = reads;
  await flood(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(reads).toBe(before + 1);
  await flood(1);
  await vi.advanceTimersByTimeAsync(2000);
  expect(reads).toBe(before + 2);
});

test('filters that cannot be followed are in the way of no vif, and are told of once', async () => {
  const broken = (): never => {
    throw new Error('a rule of a kind that there is not');
  };
  rules = { ruleset: { ...dropping, rules: broken }, unreadLegacy, text: 'broken' };
  await firewall.read();
  expect(firewall.view?.forwarded(way)).toBeUndefined();
  expect(firewall.view?.bridged({ vif: 'vif6.0', bridge: 'xenbr0', family: 4 })).toBeUndefined();
  expect(firewall.view?.served('vif7.0', 'dns')).toBeUndefined();
  expect(warnings).toEqual(['a rule of a kind that there is not']);
});

test('filters that can be followed again are', async () => {
  rules = { ruleset: dropping, unreadLegacy, text: 'whole' };
  await firewall.read();
  expect(firewall.view?.forwarded(way)?.chain).toBe('inet fw f');
  rules = { reason: 'No buffer space available' };
  await firewall.read();
  expect(firewall.view?.forwarded(way)?.chain).toBe('inet fw f');
  expect(firewall.isAlone).toBe(false);
  expect(warnings).toEqual([]);
});

test('filters that cannot be read are read again, ever more rarely; it is news that vifd may not be alone', async () => {
  vi.useFakeTimers();
  rules = { ruleset: undefined, unreadLegacy, text: '' };
  await firewall.read();
  expect([news, firewall.isAlone]).toEqual([1, true]);
  rules = { reason: 'Cannot allocate memory' };
  firewall.change();
  await vi.advanceTimersByTimeAsync(2000);
  expect([news, firewall.isAlone, warnings]).toEqual([2, false, []]);
  // For 5 minutes: after 2, 4, 8, 16, 32 s, and then each minute, whatever others change.
  const before = reads;
  expect(await flood(2)).toBe(0);
  rules = { reason: 'Cannot allocate memory' };
  await vi.advanceTimersByTimeAsync(300_000);
  expect([reads - before, news]).toEqual([8, 2]);
  expect(warnings).toEqual(['Cannot allocate memory']);
  rules = { ruleset: undefined, unreadLegacy, text: '' };
  await vi.advanceTimersByTimeAsync(60_000);
  expect([news, firewall.isAlone]).toEqual([3, true]);
  expect(reads - before).toBe(9);
  await vi.advanceTimersByTimeAsync(300_000);
  expect([reads - before, news]).toEqual([9, 3]);
  expect(await flood(1)).toBe(0);
  await vi.advanceTimersByTimeAsync(200);
  expect([reads - before, firewall.view?.forwarded(way)?.chain]).toEqual([10, 'inet fw f']);
});

test('a command does not read again what it could not read', async () => {
  vi.useFakeTimers();
  const once = new Firewall(undefined, undefined);
  rules = { reason: 'Cannot allocate memory' };
  await once.read();
  expect(vi.getTimerCount()).toBe(0);
});
