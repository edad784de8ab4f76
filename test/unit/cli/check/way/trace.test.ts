import { expect, test } from 'vitest';
import { judgeTrace } from '../../../../../src/cli/check/way/trace.js';
import type { TraceEvent } from '../../../../../src/host/netfilter/trace.js';
import { traceTables } from '../../../../../src/nft/trace-table.js';
import { parseRuleset } from '../../../../../src/nft/walk/ruleset.js';

const ruleset = parseRuleset(
  JSON.stringify({
    nftables: [
      {
        chain: {
          family: 'inet',
          table: 'fw',
          name: 'c',
          hook: 'forward',
          type: 'filter',
          prio: 0,
          policy: 'accept',
        },
      },
      { rule: { family: 'inet', table: 'fw', chain: 'c', handle: 7, expr: [] } },
    ],
  }),
  'table inet fw {\nchain c {\nudp dport 53 drop # handle 7\n}\n}',
);
const headers = {
  link: Buffer.alloc(0),
  network: Buffer.from('450000000000000040110000c0000205c6336407', 'hex'),
  transport: Buffer.from('9c40003500080000', 'hex'),
};
const event = (id: number, table: string, more: Partial<TraceEvent> = {}): TraceEvent => ({
  id,
  family: 'inet',
  table,
  chain: 'c',
  type: 'rule',
  handle: 7,
  verdict: 'continue',
  mark: 0,
  headers,
  ...more,
});
const marked = (id: number, table = 'vifd_trace_1') =>
  event(id, table, { family: 'netdev', chain: 'from_guest' });
const judge = (events: TraceEvent[], more = {}) =>
  judgeTrace(
    { events, isIncomplete: false, refused: [], ...more },
    { table: 'vifd_trace_1', ruleset, seconds: 5, isRouted: true },
  );

test('a packet that is dropped, with the rule, and one that passes', () => {
  const [dropped, passed] = judge([
    marked(1),
    event(1, 'fw', { verdict: 'drop' }),
    marked(2),
    event(2, 'fw', { type: 'policy', verdict: 'accept' }),
  ]);
  expect(dropped).toMatchObject({
    severity: 'error',
    message:
      'from the guest, UDP 192.0.2.5 > 198.51.100.7:53: dropped by inet fw c, by the rule "udp dport 53 drop"',
  });
  expect(passed).toMatchObject({
    severity: 'ok',
    message: expect.stringContaining('last inet fw c (forward)'),
  });
});

test('what another trace has marked is not told; one packet of both is', () => {
  const [only, ...others] = judge([
    marked(1, 'vifd_trace_2'),
    event(1, 'fw', { verdict: 'drop' }),
    marked(2, 'vifd_trace_2'),
    marked(2),
    event(2, 'fw', { verdict: 'accept' }),
  ]);
  expect(only).toMatchObject({ severity: 'ok' });
  expect(others).toEqual([]);
});

test("few drops among many packets, a guest's own noise, nothing at all, and refusals", () => {
  const passes = [1, 2, 3].flatMap((id) => [marked(id), event(id, 'fw', { verdict: 'accept' })]);
  const refused = event(4, 'vifd', { family: 'netdev', chain: 'refuse', verdict: 'drop', mark: 13 });
  const found = judge([...passes, marked(4), refused, marked(5), event(5, 'fw', { verdict: 'drop' })]);
  expect(found.map(({ severity }) => severity)).toEqual(['ok', 'note', 'warning']);
  expect(found[1]?.message).toContain('dropped by anti-spoofing: IPv6 without an address');
  expect(judge([])[0]).toMatchObject({ severity: 'note', message: expect.stringContaining('in 5 s') });
  expect(judge([], { refused: ['no'] })).toMatchObject([{ severity: 'warning' }]);
});

test('conntrack is asked behind NAT only, and only where it runs', () => {
  const of = (isNat: boolean) =>
    traceTables('t', {
      device: 'vif5.0',
      mac: undefined,
      addresses: [{ family: 4, address: '10.0.5.1', prefix: 32 }],
      isNat,
    }).join('\n');
  expect(of(false)).not.toContain('ct ');
  expect(of(true)).toContain('ct direction reply ct original ip saddr 10.0.5.1');
});
