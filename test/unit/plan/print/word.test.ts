import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { steering } from '../../../../src/model/one-line.js';
import { word } from '../../../../src/plan/print/word.js';

test.each([
  ['xenbr0', 'xenbr0'],
  ["a'b", "'a'\\''b'"],
  ['et\x1b[2Jh0', `"$(printf 'et\\033[2Jh0')"`],
])('%j as a word', (text, printed) => expect(word(text)).toBe(printed));

test.each(['et\x1b[2Jh0', "%s\\0'\x07", '$(id)\x9b`\u202e"', '\u{e0041}\u2028tail'])(
  '%j is what a shell makes of it, and steers nothing',
  (text) => {
    expect(word(text).replace(steering, '')).toBe(word(text));
    expect(execFileSync('sh', ['-c', `printf %s ${word(text)}`], { encoding: 'utf8' })).toBe(text);
  },
);

test('half of a pair is no character, and shown as none', () => {
  expect(word('a\ud800')).toBe(`"$(printf 'a\\357\\277\\275')"`);
});
