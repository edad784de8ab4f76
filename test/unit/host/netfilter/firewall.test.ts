import pino from 'pino';
import { beforeEach, expect, test, vi } from 'vitest';
import { Firewall } from '../../../../src/host/netfilter/firewall.js';
import type { ForeignRules } from '../../../../src/host/netfilter/foreign-ruleset.js';
import { parseRuleset } from '../../../../src/nft/walk/ruleset.js';

/** What is read next. */
let rules: ForeignRules;
vi.mock('../../../../src/host/netfilter/foreign-ruleset.js', () => ({
  readForeignRuleset: async () => rules,
}));

const chain = { family: 'inet', table: 'fw', name: 'f', type: 'filter', hook: 'forward', prio: 0 };
const dropping = parseRuleset(JSON.stringify({ nftables: [{ chain: { ...chain, policy: 'drop' } }] }), '');
const unreadLegacy: string[] = [];
const way = { vif: 'vif5.0', out: 'eth0', family: 4, guest: '10.0.5.1' } as const;

let warnings: unknown[];
let firewall: Firewall;
beforeEach(() => {
  warnings = [];
  const write = (line: string): void => void warnings.push(JSON.parse(line).err.message);
  firewall = new Firewall(() => undefined, pino({ level: 'warn', base: null }, { write }));
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
