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

test('a listing without state has no counters, and numbers and no names of services', async () => {
  const nft = new Nftables();
  const table = 'ip node-libnftables-test';
  try {
    nft.run(`add table ${table}; add chain ${table} c; add rule ${table} c udp dport 67 counter accept`);
    const listed = await nft.runAside(`list table ${table}`, { json: true, stateless: true });
    const { nftables } = JSON.parse(listed) as { nftables: { rule?: { expr: unknown[] } }[] };
    expect(nftables.flatMap(({ rule }) => rule?.expr ?? [])).toEqual([
      { match: { op: '==', left: { payload: { protocol: 'udp', field: 'dport' } }, right: 67 } },
      { counter: null },
      { accept: null },
    ]);
    const text = await nft.runAside(`list table ${table}`, { handles: true });
    expect(text).toMatch(/udp dport 67 counter accept # handle \d+/);
  } finally {
    nft.run(`delete table ${table}`);
    nft.close();
  }
});
