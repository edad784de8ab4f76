import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';
import { ConfigError } from '../../../src/config/error.js';
import { errorKinds } from '../../../src/model/error-codes.js';

const read = (file: string) =>
  readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8');

/** The keys of a table, from the configuration's own message about an unknown key. */
function known(table: string): string[] {
  for (const head of table === '' ? [''] : [`[${table}]`, `[[${table}]]`]) {
    try {
      parseConfig(`${head}\nno_such_key = 1`, 'test');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const keys = /known are (.*)$/.exec(error.message)?.[1];
      if (keys !== undefined) return keys.split(', ');
    }
  }
  throw new Error(`[${table}] does not say which keys it knows`);
}

describe('the configuration that is delivered', () => {
  const toml = read('systemd/etc/vifd.toml');
  const manual = read('docs/man/vifd.toml.5');

  test('says the defaults', () => {
    // "#key = value" is a default, "# text" is prose or an example.
    const uncommented = toml.replace(/^#(?=[a-z_]+ = )/gm, '');
    expect(uncommented).not.toBe(toml);
    expect(parseConfig(uncommented, 'vifd.toml')).toEqual(parseConfig('', 'vifd.toml'));
  });

  test.each(known(''))('[%s] is in the file and in its manual page, with every key', (table) => {
    expect(toml).toMatch(new RegExp(`^(# )?\\[+${table}\\]+$`, 'm'));
    expect(manual).toMatch(new RegExp(`^\\.Ss \\[+${table}\\]+$`, 'm'));
    for (const key of known(table)) {
      expect(toml, key).toMatch(new RegExp(`^# ?(\\[${table}\\.)?${key}\\b`, 'm'));
      expect(manual, key).toMatch(new RegExp(`^\\.It Ic ([a-z_]+ , )*${key}\\b`, 'm'));
    }
  });
});

test('the kinds of errors are told where the metrics are', () => {
  const metrics = read('docs/reference/metrics.md');
  for (const kind of Object.keys(errorKinds)) expect(metrics).toContain(`\`${kind}\``);
});

test('every message id has a help text, and every help text an id', () => {
  const ids = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, id]) => id).sort();
  const used = ids(read('src/observe/journal.ts'), /'([0-9a-f]{32})'/g);
  expect(used.length).toBeGreaterThan(0);
  expect(ids(read('systemd/catalog/vifd.catalog'), /^-- ([0-9a-f]{32})$/gm)).toEqual(used);
});

test('the manual page and the completion know every command and option', () => {
  const main = read('src/main.ts');
  const commands = [...main.matchAll(/^ {4}case '(\w+)':/gm)].map(([, command]) => command as string);
  const options = [...main.matchAll(/^ {6}(\w+): \{ type:/gm)].map(([, option]) => option as string);
  expect(commands).toContain('run');
  expect(options).toContain('json');
  const manual = read('docs/man/vifd.8');
  const completion = read('systemd/completion/vifd.bash-completion');
  for (const command of commands) {
    expect(manual).toMatch(new RegExp(`^\\.It Cm ${command}\\b`, 'm'));
    expect(completion).toMatch(new RegExp(`-W '[a-z ]*\\b${command}\\b`));
  }
  const taken = [...main.matchAll(/^ {2}\['(\w+)', \[(.*)\]\],$/gm)];
  expect(taken.map(([, command]) => command).sort()).toEqual([...commands].sort());
  for (const [, command = '', list = ''] of taken) {
    const words = list.replaceAll("'", '').split(', ').sort();
    const offered = new RegExp(`^ {8}(?:\\w+ \\| )*${command}(?: \\| \\w+)*\\) word='(.*)'`, 'm').exec(
      completion,
    )?.[1];
    expect(offered?.replaceAll('--', '').split(' ').sort(), command).toEqual(words);
    const synopsis = new RegExp(`^\\.Cm ${command}\\n((?!\\.Nm|\\.Sh).*\\n)*`, 'm').exec(manual)?.[0] ?? '';
    const shown = [...synopsis.matchAll(/Fl -(\w+)/g)].map(([, option]) => option as string);
    expect(shown.sort(), command).toEqual(words);
  }
  for (const option of options) {
    expect(manual).toMatch(new RegExp(`Fl -${option}\\b`));
    expect(completion).toContain(`--${option}`);
  }
});
