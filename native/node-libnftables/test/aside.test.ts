import { Nftables, NftError } from 'node-libnftables';
import { expect, test } from 'vitest';

test('a text runs in another thread, one at a time, and closing waits for it', async () => {
  const nft = new Nftables();
  try {
    const first = nft.runAside('list tables');
    // It would share what the library prints to.
    expect(() => nft.run('list tables')).toThrow('the nftables context is busy');
    await expect(nft.runAside('list tables')).rejects.toThrow('the nftables context is busy');
    expect(await first).toBe(nft.run('list tables'));
    await expect(nft.runAside('list nothing')).rejects.toThrow(NftError);
    const last = nft.runAside('list tables');
    nft.close();
    expect(typeof (await last)).toBe('string');
    expect(() => nft.run('list tables')).toThrow('the nftables context is closed');
  } finally {
    nft.close();
  }
});
