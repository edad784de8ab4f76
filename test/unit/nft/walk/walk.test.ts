import { describe, expect, test } from 'vitest';
import { parseIptables } from '../../../../src/nft/walk/iptables-save.js';
import type { Packet } from '../../../../src/nft/walk/packet.js';
import { firewallOf, remedyFor } from '../../../../src/nft/walk/remedy.js';
import { type Json, parseRuleset, type Ruleset, together } from '../../../../src/nft/walk/ruleset.js';
import { explain, nameChain, pass } from '../../../../src/nft/walk/walk.js';

const packet: Packet = {
  family: 4,
  iif: 'vif5.0',
  oif: 'eth0',
  source: '10.0.5.1',
  destination: '1.1.1.1',
  protocol: 'tcp',
  sport: 40_000,
  dport: 443,
  state: 'new',
  to: 'unicast',
};
const answer: Packet = {
  ...packet,
  iif: 'eth0',
  oif: 'vif5.0',
  source: '1.1.1.1',
  destination: '10.0.5.1',
  state: 'established',
};

const is = (key: string, right: Json, op = '=='): Json => ({
  match: { op, left: { meta: { key } }, right },
});
const field = (protocol: string, name: string, right: Json): Json => ({
  match: { op: '==', left: { payload: { protocol, field: name } }, right },
});
const state = (...right: string[]): Json => ({ match: { op: 'in', left: { ct: { key: 'state' } }, right } });
const xt = (name: string, type = 'match'): Json => ({ xt: { type, name } });

/** What a set has with an element, or a rule enters one with: `over` for what is beyond. */
const limit = (over: boolean): Json => ({ rate: 100, burst: 500, per: 'second', inv: over });

/** One table with a base chain at forward, and other chains. */
function ruleset(
  rules: readonly (readonly Json[])[],
  options: {
    policy?: string;
    chains?: Record<string, readonly (readonly Json[])[]>;
    text?: string;
    table?: string;
  } = {},
): Ruleset {
  const { policy = 'drop', chains = {}, text = '', table = 'filter' } = options;
  const of = { family: 'ip', table };
  let handle = 0;
  const all = { ...chains, FORWARD: rules };
  return parseRuleset(
    JSON.stringify({
      nftables: [
        ...Object.keys(all).map((name) => ({
          chain: {
            ...of,
            name,
            ...(name === 'FORWARD' ? { type: 'filter', hook: 'forward', prio: 0, policy } : {}),
          },
        })),
        ...Object.entries(all).flatMap(([chain, list]) =>
          list.map((expr) => ({ rule: { ...of, chain, handle: ++handle, expr } })),
        ),
        {
          set: {
            ...of,
            name: 'lan',
            elem: [{ prefix: { addr: '10.0.0.0', len: 16 } }, { elem: { val: '192.0.2.1' } }],
          },
        },
        { set: { ...of, name: 'pairs', elem: [{ concat: ['10.0.5.1', 'eth0'] }] } },
        { set: { ...of, name: 'over', elem: [{ elem: { val: 'vif5.0', limit: limit(true) } }] } },
        { set: { ...of, name: 'within', elem: [{ elem: { val: 'vif5.0', limit: limit(false) } }] } },
      ],
    }),
    text,
  );
}

/** What becomes of a packet, with a `?` where that is not certain. */
const fate = (rules: Ruleset, of: Packet = packet): string => {
  const last = pass(rules, 'forward', of).at(-1);
  return `${last?.outcome}${last?.isCertain === false ? '?' : ''}`;
};

/** A match of flags, for the first packet of a connection. */
const begins = (protocol: string): Json => ({
  match: {
    op: '==',
    left: { '&': [{ payload: { protocol, field: 'flags' } }, ['fin', 'syn']] },
    right: 'syn',
  },
});

/** Enters a packet's device into a set. */
const entry = (...stmt: Json[]): Json => ({
  set: { op: 'add', elem: { meta: { key: 'iifname' } }, set: '@lan', ...(stmt.length === 0 ? {} : { stmt }) },
});

const accept = { accept: null };
const drop = { drop: null };

describe('a rule holds for what it names, and for nothing else', () => {
  test.each<[string, readonly Json[], string]>([
    ['a device', [is('iifname', 'vif5.0'), accept], 'accept'],
    ['another device', [is('iifname', 'docker0'), accept], 'drop'],
    ['any but another device', [is('oifname', 'docker0', '!='), accept], 'accept'],
    ['a name that begins so', [is('iifname', 'vif*'), accept], 'accept'],
    ['one of a set', [is('iifname', { set: ['docker0', 'vif*'] }), accept], 'accept'],
    ['none of a set', [is('iifname', { set: ['docker0', 'virbr*'] }), accept], 'drop'],
    ['a network', [field('ip', 'saddr', { prefix: { addr: '10.0.0.0', len: 8 } }), accept], 'accept'],
    ['the upper half of a mark', [is('mark', { prefix: { addr: 0x76660000, len: 16 } }), accept], 'drop'],
    ['that of no mark', [is('mark', { prefix: { addr: 0, len: 16 } }), accept], 'accept'],
    ['another network', [field('ip', 'saddr', { prefix: { addr: '10.1.0.0', len: 16 } }), accept], 'drop'],
    ['a named set', [field('ip', 'saddr', '@lan'), accept], 'accept'],
    ['a named set it is not in', [field('ip', 'daddr', '@lan'), accept], 'drop'],
    ['a set for what is beyond a limit', [is('iifname', '@over'), accept], 'drop'],
    ['a set for what is within a limit', [is('iifname', '@within'), accept], 'accept'],
    ['flags, which are not known', [begins('tcp'), accept], 'drop?'],
    ['flags of another protocol', [begins('dccp'), accept], 'drop'],
    ['an entry in a set', [entry(), accept], 'accept'],
    ['an entry with a counter', [entry({ counter: null }), accept], 'accept'],
    ['an entry with a limit', [entry({ limit: limit(true) }), accept], 'drop?'],
    ['a count of connections', [entry({ 'ct count': { val: 4, inv: true } }), accept], 'drop?'],
    ['a range of addresses', [field('ip', 'saddr', { range: ['10.0.5.0', '10.0.5.9'] }), accept], 'accept'],
    ['a port', [field('tcp', 'dport', { set: [22, { range: [400, 500] }] }), accept], 'accept'],
    ['a port of UDP', [field('udp', 'dport', 443), accept], 'drop'],
    [
      'a concatenation',
      [
        {
          match: {
            op: '==',
            left: { concat: [{ payload: { protocol: 'ip', field: 'saddr' } }, { meta: { key: 'oifname' } }] },
            right: '@pairs',
          },
        },
        accept,
      ],
      'accept',
    ],
    ['another family', [field('ip6', 'saddr', '::1'), accept], 'drop'],
    [
      'a mark that it has not',
      [{ match: { op: '==', left: { '&': [{ meta: { key: 'mark' } }, 255] }, right: 1 } }, accept],
      'drop',
    ],
    [
      'a translated connection',
      [{ match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } }, accept],
      'drop',
    ],
    ['a new connection', [state('new', 'untracked'), accept], 'accept'],
    [
      'a reverse path that is missing',
      [
        { match: { op: '==', left: { fib: { result: 'oif', flags: ['saddr', 'iif'] } }, right: false } },
        accept,
      ],
      'drop',
    ],
    [
      'a map of verdicts',
      [{ vmap: { key: { meta: { key: 'iifname' } }, data: { set: [['vif5.0', accept]] } } }],
      'accept',
    ],
    ['a rate', [{ limit: { rate: 3 } }, accept], 'drop?'],
    [
      'what is not known',
      [{ match: { op: '==', left: { osf: { key: 'name' } }, right: 'x' } }, accept],
      'drop?',
    ],
  ])('%s', (_, rule, expected) => expect(fate(ruleset([rule]))).toBe(expected));
});

test('a counter and a log stand in no way; jump, goto and return lead on', () => {
  const chains = {
    ours: [[is('iifname', 'vif5.0'), { counter: null }, { log: null }, accept]],
    back: [[{ return: null }], [drop]],
  };
  expect(fate(ruleset([[{ jump: { target: 'back' } }], [{ jump: { target: 'ours' } }]], { chains }))).toBe(
    'accept',
  );
  expect(fate(ruleset([[{ goto: { target: 'back' } }], [accept]], { chains }))).toBe('drop');
  expect(fate(ruleset([[{ reject: null }]], { policy: 'accept' }))).toBe('drop');
  expect(fate(ruleset([[{ limit: { rate: 3 } }, { jump: { target: 'ours' } }]], { chains }))).toBe('drop?');
});

test('a chain that jumps to itself, which no kernel takes, is not gone round in for ever', () => {
  expect(
    fate(ruleset([[{ jump: { target: 'loop' } }]], { chains: { loop: [[{ jump: { target: 'loop' } }]] } })),
  ).toBe('drop');
});

test("Docker's chain lets answers to its own guests through, and none to a vif", () => {
  const text = `table ip filter {
    chain FORWARD {
      type filter hook forward priority filter; policy drop;
      oifname "docker0" ct state related,established counter accept # handle 2
    }
  }`;
  const rules = ruleset(
    [
      [{ jump: { target: 'DOCKER-USER' } }],
      [is('oifname', 'docker0'), xt('conntrack'), { counter: null }, accept],
      [is('iifname', 'docker0'), is('oifname', 'docker0', '!='), accept],
    ],
    { chains: { 'DOCKER-USER': [] }, text },
  );
  expect([fate(rules), fate(rules, answer), fate(rules, { ...answer, oif: 'docker0' })]).toEqual([
    'drop',
    'drop',
    'accept',
  ]);
  const [chain] = rules.base;
  expect(chain && firewallOf(rules, chain)).toBe('docker');
  expect(chain && remedyFor(rules, chain, 'vif5.0')).toBe(
    'iptables -I DOCKER-USER -i vif5.0 -j ACCEPT; iptables -I DOCKER-USER -o vif5.0 -j ACCEPT',
  );
  const [passage] = pass(rules, 'forward', packet);
  expect(passage && `${nameChain(passage.chain)} ${explain(passage)}`).toBe(
    'ip filter FORWARD drops it by its policy',
  );
});

test('a match of iptables holds by its words where it has some, and for certain if it is a comment', () => {
  const text = (rule: string) => `table ip filter {\n chain FORWARD {\n ${rule} # handle 1\n }\n}`;
  const one = (name: string, words: string, of: Packet) =>
    fate(ruleset([[xt(name), accept]], { text: text(words) }), of);
  expect(one('conntrack', 'ct state related,established accept', answer)).toBe('accept');
  expect(one('conntrack', 'ct state related,established accept', packet)).toBe('drop');
  expect(one('physdev', 'xt match physdev accept', packet)).toBe('drop?');
  expect(one('comment', 'accept', packet)).toBe('accept');
  expect(fate(ruleset([[xt('REJECT', 'target')]], { policy: 'accept' }))).toBe('drop');
  expect(fate(ruleset([[xt('MARK', 'target')]], { policy: 'accept' }))).toBe('accept');
});

test('chains of one hook follow one another by priority, and the first that drops is the last', () => {
  const chain = (name: string, prio: number, policy: string) => ({
    chain: { family: 'inet', table: 't', name, type: 'filter', hook: 'forward', prio, policy },
  });
  const rules = parseRuleset(
    JSON.stringify({
      nftables: [chain('late', 10, 'accept'), chain('mid', 0, 'drop'), chain('first', -10, 'accept')],
    }),
    '',
  );
  expect(pass(rules, 'forward', packet).map((one) => `${one.chain.name} ${one.outcome}`)).toEqual([
    'first accept',
    'mid drop',
  ]);
  expect(pass(rules, 'input', packet)).toEqual([]);
});

test('a chain at ingress is of its devices', () => {
  const chain = {
    chain: {
      family: 'netdev',
      table: 't',
      name: 'c',
      type: 'filter',
      hook: 'ingress',
      prio: 0,
      policy: 'drop',
    },
  };
  const text =
    'table netdev t {\n chain c {\n type filter hook ingress devices = { "eth0", "vif5.0" } priority filter; policy drop;\n }\n}';
  const rules = parseRuleset(JSON.stringify({ nftables: [chain] }), text);
  expect(pass(rules, 'ingress', packet, ['netdev'])).toHaveLength(1);
  expect(pass(rules, 'ingress', { ...packet, iif: 'vif6.0' }, ['netdev'])).toEqual([]);
});

describe('iptables-legacy', () => {
  const rules = parseIptables(
    'ip',
    [
      '-P INPUT ACCEPT',
      '-P FORWARD DROP',
      '-N ufw-before-forward',
      '-A FORWARD -j ufw-before-forward',
      '-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A ufw-before-forward -m comment --comment "let a guest out" -i vif6.+ ! -o docker0 -s 10.0.0.0/16 -p tcp -m tcp --dport 400:500 -j ACCEPT',
      '-A ufw-before-forward -m physdev --physdev-in vif7.0 -j ACCEPT',
      '-A ufw-before-forward -m recent --name x -j ACCEPT',
      '',
    ].join('\n'),
  );
  test.each<[string, Packet, string]>([
    ['a guest that nothing lets out', packet, 'drop?'],
    ['its answers', answer, 'accept'],
    ['a guest that a rule lets out', { ...packet, iif: 'vif6.1' }, 'accept'],
    ['the same by another port', { ...packet, iif: 'vif6.1', dport: 80 }, 'drop?'],
    ['a bridged frame', { ...packet, iif: 'br0', oif: 'br0', physin: 'vif7.0' }, 'accept'],
  ])('%s', (_, of, expected) => expect(fate(rules, of)).toBe(expected));

  test('stands beside nf_tables, and is named as what it is', () => {
    const both = together([ruleset([[accept]]), rules]);
    const passed = pass(both, 'forward', packet);
    expect(passed.map(({ chain }) => nameChain(chain))).toEqual([
      'ip filter FORWARD',
      'iptables-legacy FORWARD',
    ]);
    const last = passed.at(-1);
    expect(last && remedyFor(both, last.chain, 'vif5.0')).toBe(
      'ufw route allow in on vif5.0; ufw route allow out on vif5.0',
    );
  });
});
