import { expect, test } from 'vitest';
import { joinable, joined } from '../../../../src/host/netfilter/joining.js';
import { TransactionQueue } from '../../../../src/host/netfilter/transaction-queue.js';
import type { Element, NftAction, NftChange, SetName } from '../../../../src/model/nft.js';
import { nftCommands } from '../../../../src/nft/commands.js';

// Which actions of several vifs are one transaction, what it does, and what becomes of the others when one is refused.

const element = (set: SetName, ...key: string[]): Element => ({ set, key });
const add = (owner: string, set: SetName, ...key: string[]): NftChange => ({
  change: 'add-element',
  element: element(set, ...key),
  owner,
});
const remove = (set: SetName, ...key: string[]): NftChange => ({
  change: 'delete-element',
  element: element(set, ...key),
});
const chain = (owner: string, device: string): NftChange => ({
  change: 'set-chain',
  owner,
  chain: `${owner}-7`,
  device,
});
const rules: NftChange = { change: 'set-rules', table: 'netdev vifd', rules: 'add table netdev vifd' };
const action = (vif: string, ...changes: NftChange[]): NftAction => ({ kind: 'nft', vif, changes });
const attach = (vif: string): NftAction =>
  action(vif, rules, add(vif, 'macs', vif, '00:16:3e:00:00:01'), add(vif, 'unheld', vif), chain(vif, vif));

test('vifs that come together are one transaction with the rules once and a command a set', () => {
  const actions = [attach('vif1.0'), attach('vif2.0')];
  expect(joinable(actions)).toBe(2);
  expect(nftCommands(joined(actions))).toEqual([
    'add table netdev vifd',
    ...nftCommands([chain('vif1.0', 'vif1.0'), chain('vif2.0', 'vif2.0')]),
    'add element netdev vifd macs { "vif1.0" . 00:16:3e:00:00:01 comment "vif1.0", "vif2.0" . 00:16:3e:00:00:01 comment "vif2.0" }',
    'add element netdev vifd unheld { "vif1.0" comment "vif1.0", "vif2.0" comment "vif2.0" }',
  ]);
});

test('one vif has its changes in the order of its plan', () => {
  const alone = action('vif1.0', add('vif1.0', 'unheld', 'vif1.0'), remove('mac_only', 'vif1.0'));
  expect(joined([alone])).toEqual(alone.changes);
});

test('what goes makes room within the transaction', () => {
  const renamed = action('vif1.0', remove('unheld', 'web'), add('vif1.0', 'unheld', 'web'));
  const other = action('vif2.0', add('vif2.0', 'unheld', 'db'));
  expect(joinable([other, renamed])).toBe(2);
  expect(nftCommands(joined([other, renamed]))).toEqual([
    'delete element netdev vifd unheld { "web" }',
    'add element netdev vifd unheld { "db" comment "vif2.0", "web" comment "vif1.0" }',
  ]);
});

test('a note of what was made forward is taken once, and not together with its deletion', () => {
  const note: NftChange = { change: 'add-opened', element: element('opened_devices', '2') };
  const noted = [action('vif1.0', note), action('vif2.0', note)];
  expect(joinable(noted)).toBe(2);
  expect(joined(noted)).toEqual([note]);
  expect(joinable([action('vif1.0', note), action('vif2.0', remove('opened_devices', '2'))])).toBe(1);
});

test.each<[string, NftAction, NftAction]>([
  [
    'an address that one vif gives up and another takes',
    action('vif1.0', remove('masqueraded4', '10.0.0.1', 'up0')),
    action('vif2.0', add('vif2.0', 'masqueraded4', '10.0.0.1', 'up0')),
  ],
  [
    'two that want one address',
    action('vif1.0', add('vif1.0', 'masqueraded4', '10.0.0.1', 'up0')),
    action('vif2.0', add('vif2.0', 'masqueraded4', '10.0.0.1', 'up0')),
  ],
  [
    'one chain twice',
    action('vif1.0', chain('vif1.0', 'vif1.0')),
    action('vif1.0', { change: 'delete-chain', chain: 'vif1.0-7' }),
  ],
  ['rules that differ', attach('vif1.0'), action('vif2.0', { ...rules, rules: 'add table netdev vifd {}' })],
  ['a table that goes', attach('vif1.0'), action('vif2.0', { change: 'delete-table', table: 'inet vifd' })],
  [
    'a table that goes first',
    action('vif2.0', { change: 'delete-table', table: 'inet vifd' }),
    attach('vif1.0'),
  ],
  [
    'what is switched off before',
    attach('vif1.0'),
    { ...attach('vif2.0'), closes: [{ name: 'net/ipv4/ip_forward', value: '0' }] },
  ],
])('are two transactions: %s', (_, first, second) => {
  expect(joinable([first, second])).toBe(1);
});

/** A queue whose first transaction goes on until it is let go; refuses those with one of these vifs. */
function queueThatRefuses(...refused: string[]) {
  const seen: string[][] = [];
  let letGo = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const queue = new TransactionQueue(async (actions) => {
    const vifs = actions.map(({ vif }) => vif);
    seen.push(vifs);
    if (seen.length === 1) await first;
    if (vifs.some((vif) => refused.includes(vif))) throw new Error(`refused: ${vifs}`);
  });
  return { queue, seen, letGo };
}

test('what comes during a transaction is the next one', async () => {
  const { queue, seen, letGo } = queueThatRefuses();
  const all = ['vif1.0', 'vif2.0', 'vif3.0'].map((vif) => queue.perform(attach(vif)));
  letGo();
  await Promise.all(all);
  expect(seen).toEqual([['vif1.0'], ['vif2.0', 'vif3.0']]);
});

test('one that is refused fails alone', async () => {
  const { queue, seen, letGo } = queueThatRefuses('vif3.0');
  const all = ['vif1.0', 'vif2.0', 'vif3.0', 'vif4.0'].map((vif) => queue.perform(attach(vif)));
  letGo();
  const outcome = await Promise.allSettled(all);
  expect(outcome.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(seen.slice(2)).toEqual([['vif2.0'], ['vif3.0'], ['vif4.0']]);
});

test('a transaction has a bounded number of vifs', async () => {
  const { queue, seen, letGo } = queueThatRefuses();
  const all = Array.from({ length: 130 }, (_, i) => queue.perform(attach(`vif${i}.0`)));
  letGo();
  await Promise.all(all);
  expect(seen.map((vifs) => vifs.length)).toEqual([1, 64, 64, 1]);
});
