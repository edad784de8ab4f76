import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { groupNumber } from '../../../src/model/group.js';

const parsed = (text: string) => parseConfig(text, 'vifd.toml');
const group = (more: string, name = 'web') => `[[group]]\nname = "${name}"\n${more}\n`;

test('a group has a name, members by one table or several, and whom they talk with', () => {
  const { groups } = parsed(
    group('members = { bridge = "xenbr0", ip = "10.0.3.0/24" }\ntalk = "group"') +
      group('members = [{ mac = "00:16:3E:00:00:05" }, { domid = 7, topology = "nat" }]\ntalk = "none"', 'b'),
  );
  expect(groups).toMatchObject([
    { name: 'web', talk: 'group', members: [{ bridge: 'xenbr0', ip: { address: '10.0.3.0', prefix: 24 } }] },
    { name: 'b', talk: 'none', members: [{ mac: '00:16:3e:00:00:05' }, { domid: 7, topology: 'nat' }] },
  ]);
});

test.each([
  ['talk = "all"', 'group[0].members: is missing; it takes a table of any of bridge (a bridge name)'],
  ['members = {}', 'group[0].talk: is missing; it takes one of none, group, all'],
  ['members = {}\ntalk = "some"', 'group[0].talk: "some" is not one of none, group, all'],
  ['members = []\ntalk = "all"', 'group[0].members: is an empty list'],
  ['members = [{}, { name = "x" }]\ntalk = "all"', 'group[0].members[1].name: there is no such key'],
  ['members = { mac = "x" }\ntalk = "all"', 'group[0].members.mac: "x" is not a MAC address'],
  ['members = 5\ntalk = "all"', 'group[0].members: must be a table'],
  [
    `members = {}\ntalk = "all"\n${group('members = {}\ntalk = "none"')}`,
    'group[1].name: is that of group[0]',
  ],
])('%j is refused with the place', (text, message) => {
  expect(() => parsed(group(text))).toThrow(message);
});

test('names that count as one are refused, and none has the number of no group', () => {
  const numbers = new Map<number, string>();
  let alike: [string, string] | undefined;
  for (let i = 0; i < 5000; i++) {
    const number = groupNumber(`g${i}`);
    expect(number).toBeGreaterThan(0);
    expect(number).toBeLessThan(0xffff);
    const other = numbers.get(number);
    if (other !== undefined) alike ??= [other, `g${i}`];
    numbers.set(number, `g${i}`);
  }
  const [one = '', two = ''] = alike ?? [];
  const tables = [one, two].map((name) => group('members = {}\ntalk = "all"', name)).join('');
  expect(() => parsed(tables)).toThrow(`group[1].name: gives the same number as the name of group[0]`);
});
