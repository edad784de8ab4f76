import { expect, test } from 'vitest';
import { isDone } from '../../../../src/host/netfilter/changes.js';
import { everyVif } from '../../../../src/host/netfilter/contents.js';
import { decode, nft } from '../../../../src/host/netfilter/messages.js';
import { rulesFile } from '../../../../src/host/netfilter/rules-file.js';
import { NftState } from '../../../../src/host/netfilter/state.js';
import { elementId, type RuledTable } from '../../../../src/model/nft.js';

// Messages as the kernel sends them: struct nfgenmsg and attributes.
const attribute = (type: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(4 + value.length, 0);
  head.writeUInt16LE(type, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const u32 = (value: number): Buffer =>
  Buffer.from([value >>> 24, value >>> 16, value >>> 8, value].map((b) => b & 255));
const u64 = (value: number): Buffer => Buffer.concat([u32(0), u32(value)]);
const comment = (value: string): Buffer => Buffer.concat([Buffer.from([0, value.length + 1]), text(value)]);

function tell(state: NftState, type: number, table: string, ...attributes: Buffer[]): string[] {
  const [family, name = ''] = table.split(' ');
  const data = Buffer.concat([
    Buffer.from([family === 'inet' ? 1 : 5, 0, 0, 0]),
    attribute(1, text(name)),
    ...attributes,
  ]);
  const message = decode({ type, data, flags: 0, seq: 0, port: 0 });
  return message === undefined ? [] : state.apply(message);
}

let handle = 0;
const hook = (device: string): Buffer => attribute(4, attribute(3, text(device)));
const addRule = (state: NftState, table: string, chain: string, mark: string): string[] =>
  tell(
    state,
    nft.newRule,
    table,
    attribute(2, text(chain)),
    attribute(3, u64(++handle)),
    attribute(7, comment(mark)),
  );
const addChain = (state: NftState, table: string, chain: string, ...more: Buffer[]): string[] =>
  tell(state, nft.newChain, table, attribute(2, u64(++handle)), attribute(3, text(chain)), ...more);

/** A table with its rules. */
function addTable(state: NftState, table: RuledTable): void {
  tell(state, nft.newTable, table, attribute(2, u32(0)));
  const rules = rulesFile.get(table);
  for (const [chain, marks] of rules?.marks ?? []) {
    addChain(
      state,
      table,
      chain,
      ...(rules?.hooked.has(chain) ? [attribute(4, Buffer.alloc(0)), attribute(5, u32(1))] : []),
    );
    for (const mark of marks) addRule(state, table, chain, mark);
  }
}

function addVif(state: NftState, vif = 'vif5.0', index = 12): void {
  addChain(state, 'netdev vifd', `${vif}_${index}`, hook(vif), attribute(5, u32(0)));
  addRule(state, 'netdev vifd', `${vif}_${index}`, vif);
}

const key = (device: string, ...rest: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(device.padEnd(16, '\0')), ...rest]);
const addElement = (
  state: NftState,
  type: number,
  set: string,
  first: Buffer,
  owner: string,
  last?: Buffer,
  table = 'netdev vifd',
) =>
  tell(
    state,
    type,
    table,
    attribute(2, text(set)),
    attribute(
      3,
      attribute(
        1,
        Buffer.concat([
          attribute(1, attribute(1, first)),
          ...(last ? [attribute(10, attribute(1, last))] : []),
          ...(owner === '' ? [] : [attribute(6, comment(owner))]),
        ]),
      ),
    ),
  );

const empty = (ownable = false) => new NftState({ rules: rulesFile, ownable, opened: new Map() });
function filled(): NftState {
  const state = empty();
  addTable(state, 'netdev vifd');
  addVif(state);
  return state;
}

test('a table has its rules, and not any longer once one of them is gone, another is there', () => {
  const state = filled();
  expect(state.missingRules('netdev vifd')).toBeUndefined();
  expect(state.missingRules('inet vifd')).toContain('table inet vifd {');
  expect(addRule(state, 'netdev vifd', 'guest', 'mine')).toEqual([everyVif]);
  expect(state.missingRules('netdev vifd')).toMatch(
    /^flush chain netdev vifd refuse\n[\s\S]*table netdev vifd \{/,
  );
});

test('a table that sleeps has its rules, and is to be woken with the flags that it has', () => {
  const state = filled();
  expect(state.dormant('netdev vifd')).toBeUndefined();
  expect(state.dormant('inet vifd')).toBeUndefined();
  expect(tell(state, nft.newTable, 'netdev vifd', attribute(2, u32(1)))).toEqual([everyVif]);
  expect(state.dormant('netdev vifd')).toEqual({ flags: undefined });
  expect(state.differences(filled())).toEqual([everyVif]);
  tell(state, nft.newTable, 'netdev vifd', attribute(2, u32(7)));
  expect(state.dormant('netdev vifd')).toEqual({ flags: 'owner, persist' });
  expect(state.missingRules('netdev vifd')).toBeUndefined();
  expect(tell(state, nft.newTable, 'netdev vifd', attribute(2, u32(0)))).toEqual([everyVif]);
  expect(state.dormant('netdev vifd')).toBeUndefined();
  expect(tell(state, nft.newTable, 'netdev vifd', attribute(2, u32(0)))).toEqual([]);
});

test('a table is made with an owner where that is supported, and keeps the flags that it has', () => {
  expect(empty(true).missingRules('netdev vifd')).toContain('\tflags owner, persist;\n');
  expect(empty(false).missingRules('netdev vifd')).not.toContain('flags owner');
  const open = empty(true);
  tell(open, nft.newTable, 'netdev vifd', attribute(2, u32(0)));
  expect(open.missingRules('netdev vifd')).not.toContain('flags owner');
});

test('a chain or a set of others is theirs, and changes nothing for the vifs', () => {
  const state = filled();
  expect(addChain(state, 'netdev vifd', 'mine')).toEqual([]);
  expect(addRule(state, 'netdev vifd', 'mine', '')).toEqual([]);
  expect(tell(state, nft.newSet, 'netdev vifd', attribute(2, text('stock')), attribute(3, u32(0)))).toEqual(
    [],
  );
  // A list in a rule.
  tell(state, nft.newSet, 'netdev vifd', attribute(2, text('__set0')), attribute(3, u32(3)));
  expect(state.foreign()).toEqual(['chain netdev vifd mine', 'set netdev vifd stock']);
  expect(state.missingRules('netdev vifd')).toBeUndefined();
  expect(state.chains('vif5.0')).toEqual([{ chain: 'vif5.0_12', device: 'vif5.0', fits: true }]);
  expect(state.isAll('netdev vifd', 'vif5.0')).toBe(false);
  tell(state, nft.delChain, 'netdev vifd', attribute(3, text('mine')));
  tell(state, nft.delSet, 'netdev vifd', attribute(2, text('stock')));
  expect(state.foreign()).toEqual([]);
  expect(state.isAll('netdev vifd', 'vif5.0')).toBe(true);
  expect(state.isAll('netdev vifd', 'vif6.0')).toBe(false);
});

test('a chain whose netdev was gone may be gone, until the kernel speaks of it again', () => {
  const state = filled();
  addVif(state, 'vif6.0', 13);
  state.deviceGone(12);
  const fitting = (vif: string) => state.chains(vif).map(({ fits }) => fits);
  expect([fitting('vif5.0'), fitting('vif6.0')]).toEqual([[false], [true]]);
  state.deviceGone(undefined);
  expect(fitting('vif6.0')).toEqual([false]);
  addChain(state, 'netdev vifd', 'vif5.0_12', hook('vif5.0'), attribute(5, u32(0)));
  addRule(state, 'netdev vifd', 'vif5.0_12', 'vif5.0');
  expect([fitting('vif5.0'), fitting('vif6.0')]).toEqual([[true], [false]]);
});

test('a chain with another rule, another policy or another name is not as it should be', () => {
  for (const spoil of [
    (state: NftState) => addRule(state, 'netdev vifd', 'vif5.0_12', ''),
    (state: NftState) => {
      // The chain was the last but one to get a handle.
      tell(
        state,
        nft.newChain,
        'netdev vifd',
        attribute(2, u64(handle - 1)),
        attribute(3, text('vif5.0_12')),
        attribute(5, u32(1)),
      );
    },
    (state: NftState) => {
      tell(
        state,
        nft.newChain,
        'netdev vifd',
        attribute(2, u64(handle - 1)),
        attribute(3, text('other')),
        hook('vif5.0'),
      );
    },
  ]) {
    const state = filled();
    spoil(state);
    expect(state.chains('vif5.0').filter(({ fits }) => fits)).toEqual([]);
  }
});

test('elements have the owner in their comment, and one without is about the netdev in its key', () => {
  const state = filled();
  expect(
    addElement(state, nft.newElements, 'hosts4', key('vif5.0', Buffer.from([10, 0, 0, 5])), 'vif5.0'),
  ).toEqual(['vif5.0']);
  addElement(
    state,
    nft.newElements,
    'networks4',
    key('vif5.0', Buffer.from([10, 0, 1, 0])),
    'vif5.0',
    key('vif5.0', Buffer.from([10, 0, 1, 255])),
  );
  addElement(state, nft.newElements, 'macs', key('vif5.0', Buffer.from('00163e0005000000', 'hex')), 'vif5.0');
  addElement(
    state,
    nft.newElements,
    'nd_macs',
    key('vif5.0', Buffer.from('00163e0005000000', 'hex')),
    'vif5.0',
  );
  expect(state.elements('vif5.0').map(elementId)).toEqual([
    'hosts4 vif5.0 . 10.0.0.5',
    'networks4 vif5.0 . 10.0.1.0/24',
    'macs vif5.0 . 00:16:3e:00:05:00',
    'nd_macs vif5.0 . 0x00163e000500',
  ]);
  expect(
    addElement(state, nft.newElements, 'hosts4', key('vif5.0', Buffer.from([10, 0, 0, 66])), 'mine'),
  ).toEqual([everyVif]);
  expect(state.strangers('vif5.0', 'vif5.0').map(elementId)).toEqual(['hosts4 vif5.0 . 10.0.0.66']);
  expect(state.strangers('vif5.0', 'vif6.0').length).toBe(5);
  expect(state.strangers('vif6.0', 'vif6.0')).toEqual([]);
  // It is repaired, so it is not one of those that are left.
  expect(state.foreign()).toEqual([]);
  addElement(state, nft.newElements, 'hosts4', key('eth0', Buffer.from([10, 0, 0, 66])), '');
  expect(state.foreign()).toEqual(['element netdev vifd hosts4 eth0 . 10.0.0.66']);
  addElement(state, nft.delElements, 'hosts4', key('vif5.0', Buffer.from([10, 0, 0, 5])), '');
  expect(state.owner({ set: 'hosts4', key: ['vif5.0', '10.0.0.5'] })).toBeUndefined();
  expect([...state.owners()]).toEqual(['vif5.0']);
  expect(tell(state, nft.delTable, 'netdev vifd')).toEqual([everyVif]);
  expect([...state.owners()]).toEqual([]);
  // "destroy" is announced by message types of its own.
  const other = filled();
  expect(tell(other, (10 << 8) | 26, 'netdev vifd')).toEqual([everyVif]);
  expect(other.has('netdev vifd')).toBe(false);
});

test("what was made forward is remembered when another program deletes its table, and is no vif's", () => {
  const state = empty();
  addTable(state, 'inet vifd');
  const add = (set: string, key: Buffer, owner = ''): string[] =>
    addElement(state, nft.newElements, set, key, owner, undefined, 'inet vifd');
  // Every routed vif is held to its ways out by what is noted.
  expect(add('opened_devices', Buffer.from([2, 1, 0, 0]))).toEqual([everyVif]);
  expect(add('opened_families', Buffer.from([10]))).toEqual([everyVif]);
  expect(add('opened_families', Buffer.from([10]))).toEqual([]);
  expect(add('opened4', key('vif5.0'), 'vif5.0')).toEqual(['vif5.0']);
  const noted = [
    { set: 'opened_devices', key: ['258'] },
    { set: 'opened_families', key: ['ipv6'] },
  ] as const;
  expect(state.opened()).toEqual(noted);
  expect(noted.map((note) => state.isNoted(note))).toEqual([true, true]);
  expect(state.isAll('inet vifd', 'vif5.0')).toBe(true);
  expect(state.foreign()).toEqual([]);
  expect(tell(state, nft.delTable, 'inet vifd')).toContain(everyVif);
  expect(state.opened()).toEqual(noted);
  expect(noted.map((note) => state.isNoted(note))).toEqual([false, false]);
});

test('a reading that finds what no notification told of names the vifs that it concerns', () => {
  const index = Buffer.from([2, 1, 0, 0]);
  const address = key('vif5.0', Buffer.from([10, 0, 0, 66]));
  const opened = (state: NftState, set: string, note: Buffer): void => {
    addElement(state, nft.newElements, set, note, '', undefined, 'inet vifd');
  };
  const lost: [string, (state: NftState) => void, string[]][] = [
    ['nothing', () => undefined, []],
    ['a device that was made forward', (state) => opened(state, 'opened_devices', index), [everyVif]],
    ['a family', (state) => opened(state, 'opened_families', Buffer.from([10])), [everyVif]],
    [
      'an element of others',
      (state) => addElement(state, nft.newElements, 'hosts4', address, ''),
      [everyVif],
    ],
    ['a chain', (state) => addVif(state, 'vif6.0', 13), ['vif6.0']],
    [
      "a vif's element",
      (state) => addElement(state, nft.newElements, 'hosts4', address, 'vif5.0'),
      ['vif5.0'],
    ],
  ];
  for (const [what, change, vifs] of lost) {
    const [before, now] = [filled(), filled()];
    change(now);
    expect([what, before.differences(now), now.differences(before)]).toEqual([what, vifs, vifs]);
  }
  // The same number of notes, of other devices.
  const [before, now] = [filled(), filled()];
  opened(before, 'opened_devices', index);
  opened(now, 'opened_devices', Buffer.from([3, 1, 0, 0]));
  expect(before.differences(now)).toEqual([everyVif]);
});

test('an element that another vif has taken over is not for the former one to delete', () => {
  const state = filled();
  const address = Buffer.from([10, 0, 0, 5]);
  const add = (vif: string) => addElement(state, nft.newElements, 'hosts4', key('vif5.0', address), vif);
  const change = {
    change: 'delete-element',
    element: { set: 'hosts4', key: ['vif5.0', '10.0.0.5'] },
  } as const;
  const isLeft = (of?: string) => isDone(state, of === undefined ? change : { ...change, of });
  expect([isLeft('vif5.0'), isLeft()]).toEqual([true, true]);
  add('vif5.0');
  expect([isLeft('vif5.0'), isLeft()]).toEqual([false, false]);
  add('vif6.0');
  expect([isLeft('vif5.0'), isLeft('vif6.0'), isLeft()]).toEqual([true, false, false]);
});
