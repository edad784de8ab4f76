import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { generatedFiles } from '../../docs/generate/files.js';

const read = (file: string) => readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8');

describe.each(generatedFiles)('$file', ({ file, make }) => {
  test('is what "npm run generate" writes', () => expect(make(read(file))).toBe(read(file)));

  test('is made anew where it is stale', () => {
    const stale = read(file).replaceAll(/timeout|openvswitch/g, 'patience');
    expect(stale).not.toBe(read(file));
    expect(make(stale)).toBe(read(file));
  });
});

const parts = generatedFiles.filter(({ file }) => !file.endsWith('.toml'));

describe.each(parts)('of $file', ({ file, make }) => {
  test('what is written by hand is kept', () => {
    const edited = `By hand.\n${read(file)}By hand, too.\n`;
    expect(make(edited)).toBe(edited);
  });

  test.each([
    ['the line before', /^.*npm run generate.*\n/m],
    ['the line after', /^.*End of what is generated.*\n/m],
  ])('%s the generated part must be there', (_line, pattern) => {
    const broken = read(file).replace(pattern, '');
    expect(broken).not.toBe(read(file));
    expect(() => make(broken)).toThrow('there must be one line');
  });
});
