import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { rulesFile, rulesWithoutCounts } from '../../../src/host/netfilter/rules-file.js';
import { dropReasons, earlierSets, isOfIntervals, type SetName, sets } from '../../../src/model/nft.js';
import { parseRules } from '../../../src/nft/rules.js';

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const file = read('src/nft/vifd.nft');

test('the reference shows the rules as they are', () => {
  const shown = /```nft\n([\s\S]*?)```/.exec(read('docs/reference/nftables.md'))?.[1];
  expect(shown).toBe(file);
});

test('every rule says what it is, and every drop has a mark and the reason of that mark', () => {
  const rules = file
    .split('\n')
    .filter((line) => /^\t\t/.test(line) && !/^\t\t(#|type )/.test(line))
    .map((line) => line.trim());
  expect(rules.length).toBeGreaterThan(60);
  expect(rules.filter((rule) => !/ comment "[^"#]+"$/.test(rule))).toEqual([]);
  const marks = rules.flatMap((rule) => {
    const [, mark, comment] =
      /(?:^| )meta mark set (\d+) goto refuse(?:_to_guest)? comment "(.*)"$/.exec(rule) ?? [];
    return mark === undefined ? [] : [`${mark} ${comment}`];
  });
  expect([...new Set(marks)].sort()).toEqual(
    dropReasons.flatMap((reason, mark) => (mark === 0 ? [] : [`${mark} ${reason}`])).sort(),
  );
  // Where a packet comes in there is no device that it leaves by, and the other way round.
  const leaving = rules.filter((rule) => rule.includes('goto refuse_to_guest'));
  expect(leaving.map((rule) => /meta mark set (\d+) goto/.exec(rule)?.[1])).toEqual(['26', '27']);
  const refusals = rules.filter((rule) => rule.includes('refuse'));
  expect(
    refusals.filter((rule) => !/(^| )meta mark set \d+ goto refuse(?:_to_guest)? comment "/.test(rule)),
  ).toEqual(['drop comment "refused"', 'drop comment "refused"']);
});

// A comparison with a field that the frame is too short for does not match, so nothing may pass for want of a match.
test('what passes is matched: no comparison is negative, and nothing passes after a refusal that has a match', () => {
  const netdev = /^table netdev vifd \{\n([\s\S]*?)^\}/m.exec(file)?.[1] ?? '';
  expect(netdev.match(/!=|\bnot in\b|exthdr \w+ missing(?! goto by_protocol6)/g)).toBeNull();
  const misplaced = [...netdev.matchAll(/^\tchain (\w+) \{\n([\s\S]*?)^\t\}/gm)].flatMap(
    ([, chain = '', body = '']) => {
      const rules = body.split('\n').filter((line) => /^\t\t(?!#)/.test(line));
      const first = rules.findIndex((rule) => /goto refuse| drop comment/.test(rule));
      return (first < 0 ? [] : rules.slice(first))
        .filter((rule) => !/goto refuse|^\t\tdrop comment/.test(rule))
        .map((rule) => [chain, rule]);
    },
  );
  expect(misplaced).toEqual([]);
});

// A list is a set of its own, and while rules are replaced a packet may find it empty; docs/develop/decisions/no-lists-in-rules.md.
test('no rule has a list', () => {
  const rules = file.split('\n').filter((line) => /^\t\t(?!#|type )/.test(line));
  expect(rules.filter((rule) => /\{/.test(rule) && !/^\t\t(?:add|update) @/.test(rule))).toEqual([]);
});

// Before it takes a transaction the kernel walks all ways from each base chain, those of all vifs (nft_table_validate): a chain that
// many rules lead to counts as often. It refuses those of more than 16 chains (NFT_JUMP_STACK_SIZE).
test('the ways through the rules are short and few', () => {
  for (const [, table = '', body = ''] of file.matchAll(/^table (\w+ \w+) \{\n([\s\S]*?)^\}/gm)) {
    const chains = new Map(
      [...body.matchAll(/^\tchain (\w+) \{\n([\s\S]*?)^\t\}/gm)].map(([, chain = '', rules = '']) => [
        chain,
        [...rules.matchAll(/ (?:goto|jump) (\w+) /g)].map(([, target = '']) => target),
      ]),
    );
    const below = (chain: string): { chains: number; deep: number } => {
      const targets = (chains.get(chain) ?? []).map(below);
      return {
        chains: targets.reduce((sum, target) => sum + target.chains, 1),
        deep: 1 + Math.max(0, ...targets.map(({ deep }) => deep)),
      };
    };
    const ways = [...chains.keys()].map(below);
    expect(Math.max(...ways.map((way) => way.chains)), table).toBeLessThan(400);
    // A vif's chain leads to the first.
    expect(Math.max(...ways.map(({ deep }) => deep)), table).toBeLessThan(16);
  }
});

test('every chain of the netdev table ends with a refusal', () => {
  const chains = [...file.matchAll(/^\tchain (\w+) \{\n([\s\S]*?)^\t\}/gm)];
  const open = chains.filter(([, , rules = '']) => {
    const last = rules.trim().split('\n').at(-1)?.trim() ?? '';
    return !/^(meta mark set \d+ goto refuse(_to_guest)?|(counter )?drop) comment/.test(last);
  });
  expect(open.map(([, name]) => name)).toEqual([
    'limited_guest',
    'over_limits',
    'limited_to_guest',
    'over_limit_to',
    'marked_guest',
    'marked_to_guest',
    'guest',
    'closed_to_this_machine',
    'from_port_to_port',
    'between_guests',
    'from_a_group',
    'from_anywhere',
    'from_bridges',
    'from_a_closed_vif',
    'from_bridges_to_others',
    'to_this_machine',
    'requests',
    'new_connection',
    'too_many',
    'to_other_machines',
    'from_guest',
    'between_guests',
    'between_groups',
    'from_a_group',
    'among_guests',
    'beyond',
    'kept_from_private_networks',
    'private_network',
    'between_networks',
    'arriving',
    'leaving',
  ]);
});

const filledByPackets = ['drops', 'same_device', 'connections'];

test('the sets are those that elements are put into, of the keys that these have', () => {
  const declared = [...rulesFile].flatMap(([table, { sets }]) =>
    [...sets.keys()].filter((set) => !filledByPackets.includes(set)).map((set) => `${table} ${set}`),
  );
  const used = Object.entries(sets)
    .filter(([set, { table }]) => table !== 'inet vifd-nat' && !earlierSets.includes(set))
    .map(([set, { table }]) => `${table} ${set}`);
  expect(declared.sort()).toEqual(used.sort());
});

test('the sets of intervals are known for what they are', () => {
  const declared = [...rulesFile.values()].flatMap(({ sets }) =>
    [...sets].flatMap(([set, definition]) => (definition.includes('flags interval') ? [set] : [])),
  );
  expect(declared).toEqual(
    Object.keys(sets).filter((set) => isOfIntervals({ set: set as SetName, key: [] })),
  );
});

test('a change of a table changes the mark of all of its rules, and of no other table', () => {
  const changed = parseRules(file.replace('udp dport 67 goto', 'udp dport 69 goto'));
  const marks = (of: typeof rulesFile, table: string) => [...(of.get(table)?.marks.values() ?? [])].flat();
  const before = new Set(marks(rulesFile, 'netdev vifd'));
  expect(marks(changed, 'netdev vifd').filter((mark) => before.has(mark))).toEqual([]);
  expect(marks(changed, 'inet vifd')).toEqual(marks(rulesFile, 'inet vifd'));
});

test('where the kernel counts no connections the rules are the same but for that one', () => {
  const comments = (of: typeof rulesFile) =>
    [...of].flatMap(([table, { marks }]) =>
      [...marks].flatMap(([chain, rules]) =>
        rules.map((mark) => `${table} ${chain} ${mark.replace(/ #.*/, '')}`),
      ),
    );
  const left = new Set(comments(rulesWithoutCounts()));
  expect(comments(rulesFile).filter((rule) => !left.has(rule))).toEqual([
    'inet vifd new_connection connections at once',
  ]);
  expect([...rulesWithoutCounts().keys()]).toEqual([...rulesFile.keys()]);
});
