import { expect, test } from 'vitest';
import { ConfigError, defaultConfigFile, parseConfig, readConfig } from '../../src/config.js';

test('nothing configured is a configuration', () => {
  expect(parseConfig('', 'vifd.toml')).toMatchObject({ log: { level: 'info' }, netdevTimeoutMs: 10_000 });
});

test('what is configured is taken', () => {
  expect(parseConfig('[log]\nlevel = "debug"\n[netdev]\ntimeout = 2.5\n', 'vifd.toml')).toMatchObject({
    log: { level: 'debug' },
    netdevTimeoutMs: 2500,
  });
});

test.each([
  ['log = 1', 'log: must be a table'],
  ['log = [1]', 'log: must be a table'],
  ['log = 2026-01-01', 'log: must be a table'],
  ['[log]\nlevel = "loud"', 'log.level: "loud" is none of trace, debug, info, warn, error'],
  ['[log]\nlevel = 3', 'log.level: 3 is none of trace, debug, info, warn, error'],
  ['[log]\nlevle = "info"', 'log.levle: there is no such key; known are level'],
  ['[netdev]\ntimeout = 0', 'netdev.timeout: 0 is not a number from 1 to 600'],
  ['[netdev]\ntimeout = 601', 'netdev.timeout: 601 is not a number from 1 to 600'],
  ['[netdev]\ntimeout = nan', 'netdev.timeout: null is not a number from 1 to 600'],
  ['[netdev]\ntimeout = "10"', 'netdev.timeout: "10" is not a number from 1 to 600'],
  ['[netdevs]\ntimeout = 10', 'netdevs: there is no such key; known are log, netdev'],
])('%j is refused with file, key and reason', (text, reason) => {
  const refused = expect(() => parseConfig(text, '/etc/vifd/x.toml'));
  refused.toThrow(ConfigError);
  refused.toThrow(`/etc/vifd/x.toml: ${reason}`);
});

test('a file that is not TOML is refused with the line', () => {
  expect(() => parseConfig('[log]\nlevel = \n', 'x.toml')).toThrow(/^x\.toml: line 2: \S/);
});

test('a file named on the command line must be there', () => {
  expect(() => readConfig('/nonexistent/vifd.toml')).toThrow(
    /^\/nonexistent\/vifd\.toml: cannot be read: ENOENT/,
  );
});

test('a file that is no file is refused', () => {
  expect(() => readConfig('/')).toThrow(/^\/: cannot be read: EISDIR/);
});

test('the default file', () => expect(defaultConfigFile).toBe('/etc/vifd/vifd.toml'));
