import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { defaultConfigFile } from '../../../src/config/config.js';
import { Domnet } from '../../support/net/domnet.js';

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'vifd-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));

function vifd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  // Were a command line taken that should not be, it would not reach a xenstored.
  const env = { ...process.env, XENSTORED_PATH: join(dir, 'none') };
  const { status, stdout, stderr } = spawnSync(main, args, { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

test('--version', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  expect(vifd('--version')).toEqual({ status: 0, stdout: `vifd ${version}\n`, stderr: '' });
});

test.each(['--help', '-h'])('%s', (option) => {
  const { status, stdout, stderr } = vifd(option);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: vifd /);
});

test.each([
  [[], 'a command is missing'],
  [['fly'], 'there is no command "fly"'],
  [['run', 'fast'], 'unexpected argument "fast"'],
  [['run', '--fast'], "Unknown option '--fast'"],
  [['run', '--config'], '--config'],
])('%j is refused', (args, reason) => {
  const { status, stdout, stderr } = vifd(...args);
  expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
  expect(stderr).toContain(reason);
  expect(stderr).toMatch(/^vifd: .*see vifd --help\n$/s);
});

describe('a configuration that cannot be used: exit 78, file, key and reason on stderr', () => {
  test.each([
    ['[log]\nlevel = "loud"\n', 'log.level: "loud" is not one of trace, debug, info, warn, error'],
    ['[netdev]\ntimeout = 0\n', 'netdev.timeout: 0 is not a number from 1 to 600'],
    ['[netdev]\ntimeuot = 5\n', 'netdev.timeuot: there is no such key; known are timeout'],
    ['[log\n', 'line 1: '],
  ])('%j', (text, reason) => {
    const file = join(dir, 'vifd.toml');
    writeFileSync(file, text);
    const { status, stdout, stderr } = vifd('run', '--config', file);
    expect({ status, stdout }).toEqual({ status: 78, stdout: '' });
    expect(stderr).toContain(`vifd: ${file}: ${reason}`);
    // One line: for the journal.
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  test.each(['/nonexistent/vifd.toml', '/'])('%s', (file) => {
    const { status, stderr } = vifd('run', '--config', file);
    expect(status).toBe(78);
    expect(stderr).toMatch(`vifd: ${file}: cannot be read: `);
  });
});

test('no file at the default place is fine', async () => {
  expect(existsSync(defaultConfigFile)).toBe(false);
  const domnet = await Domnet.start();
  try {
    const daemon = await domnet.vifd();
    expect(await daemon.terminate()).toBe(0);
  } finally {
    await domnet.stop();
  }
});
