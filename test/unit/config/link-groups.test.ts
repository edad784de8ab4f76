import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { groupIn } from '../../../src/config/link-groups.js';

test.each([
  ['0\tdefault\n7 web\n', 'web', 7],
  ['# 7 web\n  0x10  db # the databases\n', 'db', 16],
  ['7 web\n8 web\n', 'web', 7],
  ['7 website\n', 'web', undefined],
  ['seven web\n', 'web', undefined],
  ['', 'web', undefined],
])('a name of %j', (text, name, number) => {
  expect(groupIn(text, name)).toBe(number);
});

test('a group that is no number and no name there is refused with the place', () => {
  for (const group of ['"no such group"', '-1', '1.5', '4294967296'])
    expect(() => parseConfig(`[[vif]]\ngroup = ${group}\n`, 'vifd.toml')).toThrow(
      /^vifd\.toml: vif\[0\]\.group: .* is not a number or a name of \/etc\/iproute2\/group$/,
    );
  expect(parseConfig('[[vif]]\ngroup = 4294967295\n', 'vifd.toml').vifs[0]?.group).toBe(4294967295);
});
