import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseResolvers, Resolvers } from '../../../../src/host/dhcp/resolvers.js';

test.each([
  ['nameserver 192.0.2.1', ['192.0.2.1']],
  ['nameserver 192.0.2.1 # of the site', ['192.0.2.1']],
  ['nameserver\t192.0.2.1\t; of the site', ['192.0.2.1']],
  ['nameserver 192.0.2.1#of the site', ['192.0.2.1']],
  ['nameserver 192.0.2.1 192.0.2.2', ['192.0.2.1']],
  ['nameserver 192.0.2.1\r\nnameserver 2001:db8::1%eth0\n', ['192.0.2.1', '2001:db8::1']],
  ['# nameserver 192.0.2.1\n;nameserver 192.0.2.1\nnameservers 192.0.2.1\n', []],
  ['nameserver\n192.0.2.1\n', []],
  ['nameserver 127.0.0.53 # the stub', []],
  ['nameserver 192.0.2.256\n', []],
])('%j names %j', (text, addresses) => {
  expect(parseResolvers([text])).toEqual(addresses);
});

test('the first text that has any counts', () => {
  expect(parseResolvers(['nameserver 127.0.0.53', 'nameserver 192.0.2.1 # uplink'])).toEqual(['192.0.2.1']);
});

test('the file is followed: written, replaced, reached by links, gone and there again', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'vifd-resolv-'));
  const path = (name: string): string => join(dir, name);
  mkdirSync(path('etc'));
  const resolvers = new Resolvers([path('etc/resolv.conf'), path('run/systemd/resolve/resolv.conf')]);
  let told: () => void = () => undefined;
  resolvers.follow(() => told());
  /** What is read after a change has been told of. */
  const after = async (change: () => void): Promise<readonly string[]> => {
    const happened = new Promise<void>((resolve) => {
      told = resolve;
    });
    change();
    await happened;
    return resolvers.addresses;
  };
  const write = (name: string, address: string): void =>
    writeFileSync(path(name), `nameserver 192.0.2.${address}\n`);
  const replace = (name: string, make: (at: string) => void): void => {
    make(path('new'));
    renameSync(path('new'), path(name));
  };
  try {
    expect(await after(() => write('etc/resolv.conf', '1'))).toEqual(['192.0.2.1']);
    expect(await after(() => write('etc/resolv.conf', '2'))).toEqual(['192.0.2.2']);
    expect(await after(() => replace('etc/resolv.conf', () => write('new', '3')))).toEqual(['192.0.2.3']);
    // In place of the file a link to one whose directories are not there yet.
    const link = (at: string): void => symlinkSync('../run/resolve/stub.conf', at);
    expect(await after(() => replace('etc/resolv.conf', link))).toEqual([]);
    expect(
      await after(() => {
        mkdirSync(path('run/resolve'), { recursive: true });
        write('run/resolve/stub.conf', '4');
      }),
    ).toEqual(['192.0.2.4']);
    expect(await after(() => replace('run/resolve/stub.conf', () => write('new', '5')))).toEqual([
      '192.0.2.5',
    ]);
    expect(await after(() => write('run/resolve/stub.conf', '6'))).toEqual(['192.0.2.6']);
    // A link to a link.
    expect(
      await after(() => {
        write('run/other.conf', '7');
        replace('run/resolve/stub.conf', (at) => symlinkSync('../other.conf', at));
      }),
    ).toEqual(['192.0.2.7']);
    expect(await after(() => write('run/other.conf', '8'))).toEqual(['192.0.2.8']);
    expect(await after(() => rmSync(path('run'), { recursive: true }))).toEqual([]);
    expect(
      await after(() => {
        mkdirSync(path('run/systemd/resolve'), { recursive: true });
        write('run/systemd/resolve/resolv.conf', '9');
      }),
    ).toEqual(['192.0.2.9']);
  } finally {
    resolvers.close();
    rmSync(dir, { recursive: true });
  }
});
