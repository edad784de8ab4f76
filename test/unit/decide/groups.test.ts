import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { groupOf } from '../../../src/decide/groups.js';
import type { Matched } from '../../../src/decide/vif-options.js';

const vif = (more: Partial<Matched>): Matched => ({
  ...{ domid: 5, mac: '00:16:3e:00:00:05', addresses: [], topology: 'bridge', bridges: ['xenbr0'] },
  ...more,
});
const groups = (...tables: [name: string, talk: string, members: string][]) =>
  parseConfig(
    tables
      .map(([name, talk, members]) => `[[group]]\nname = "${name}"\ntalk = "${talk}"\nmembers = ${members}\n`)
      .join(''),
    'vifd.toml',
  ).groups;

test('of several groups that a vif matches it is in the last, as by [[vif]] tables', () => {
  const both = groups(['all', 'none', '{}'], ['web', 'group', '[{ domid = 9 }, { bridge = "xenbr0" }]']);
  expect(groupOf(both, vif({}))).toEqual({ name: 'web', talk: 'group', by: ['port'] });
  expect(groupOf(both, vif({ bridges: ['xenbr1'] }))).toMatchObject({ name: 'all', talk: 'none' });
});

test('while a group parts guests the others are told from the outside, and else nothing is asked of any', () => {
  const web = groups(['web', 'group', '{ domid = 9 }']);
  expect(groupOf(web, vif({ topology: 'nat' }))).toEqual({ name: undefined, talk: 'all', by: ['router'] });
  expect(groupOf(web, vif({ topology: 'openvswitch' }))?.by).toEqual(['switch']);
  expect(groupOf(web, vif({ topology: undefined }))?.by).toEqual(['port', 'router']);
  expect(groupOf(groups(['web', 'all', '{}']), vif({}))).toBeUndefined();
  expect(groupOf([], vif({}))).toBeUndefined();
});
