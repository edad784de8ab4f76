import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exec } from '../../support/process/exec.js';

/** Stands in for systemd 254, which Debian 12 does not have, and for the helpers that change units. */
let bin: string;

beforeAll(() => {
  bin = mkdtempSync('/tmp/vifd-');
  const program = (name: string, text: string): void =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  program('systemctl', '[ "$1" != --version ] || echo "systemd 254 (254.5-1)"');
  for (const name of ['deb-systemd-helper', 'deb-systemd-invoke']) program(name, 'exit 0');
});
afterAll(() => rmSync(bin, { recursive: true }));

/** Runs maintainer scripts over a directory of units of their own. @returns what the last command printed */
const withUnits = (...commands: string[]): Promise<string> => {
  const script = ['set -e', 'mount -t tmpfs tmpfs /etc/systemd/system', `PATH=${bin}:$PATH`, ...commands];
  return exec('unshare', ['--mount', 'sh', '-c', script.join('\n')]);
};

const install = 'sh systemd/deb/postinst configure';
const remove = 'sh systemd/deb/postrm remove';
const file = '/etc/systemd/system/vifd.service.d/backoff.conf';

test('the package links its pauses between restarts, and removes that link', async () => {
  expect(await withUnits(install, install, `readlink ${file}`)).toBe('/usr/lib/vifd/backoff.conf\n');
  expect(await withUnits(install, remove, 'ls /etc/systemd/system')).toBe('');
});

test.each([
  ['a file', `mkdir -p ${file.replace(/\/[^/]*$/, '')}; echo mine >${file}`, `cat ${file}`, 'mine\n'],
  [
    'a link to /dev/null',
    `mkdir -p ${file.replace(/\/[^/]*$/, '')}; ln -s /dev/null ${file}`,
    `readlink ${file}`,
    '/dev/null\n',
  ],
])("%s of the administrator's stays, at upgrades and at removal", async (_, make, look, expected) => {
  expect(await withUnits(make, install, look)).toBe(expected);
  expect(await withUnits(make, install, remove, look)).toBe(expected);
});

test('before a downgrade to 0.1.0 the table that it does not know goes, and before no other', async () => {
  const tables = (version: string): Promise<string> =>
    exec('unshare', [
      '--net',
      'sh',
      '-c',
      `PATH=${bin}:$PATH; nft 'add table inet vifd; add table netdev vifd'; sh systemd/deb/prerm upgrade ${version} && nft list tables`,
    ]);
  expect(await tables('0.1.0')).toBe('table netdev vifd\n');
  expect(await tables('0.2.0')).toBe('table inet vifd\ntable netdev vifd\n');
  expect(await tables('1.0')).toBe('table inet vifd\ntable netdev vifd\n');
});
