import { execFileSync } from 'node:child_process';
import { Nftables } from 'node-libnftables';
import { expect, test } from 'vitest';

test('its socket is not inherited by children', () => {
  // A shell without a file of its own open prints what it was given: a program needs the first three alone.
  const inherited = (): string =>
    execFileSync('sh', ['-c', 'for fd in /proc/$$/fd/*; do readlink "$fd"; done; true'], {
      encoding: 'utf8',
    });
  const sockets = (): number => inherited().match(/socket:/g)?.length ?? 0;
  const before = sockets();
  const nft = new Nftables();
  try {
    nft.run('list tables');
    expect(sockets()).toBe(before);
  } finally {
    nft.close();
  }
});
