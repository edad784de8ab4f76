import { Xenstore } from 'node-xenstore';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Xenstored } from '../../../test/support/store/xenstored.js';

let server: Xenstored;
let store: Xenstore;
let other: Xenstore;

beforeAll(async () => {
  server = await Xenstored.start();
  store = await Xenstore.open({ path: server.socketPath });
  other = await Xenstore.open({ path: server.socketPath });
  await store.write('n', '0');
});

afterAll(async () => {
  await store.close();
  await other.close();
  await server.stop();
});

test('takes effect at its end, and all of it', async () => {
  const result = await store.transaction(async (t) => {
    await t.write('a/b', '1');
    await t.mkdir('a/c');
    await t.write('a/d', '1');
    await t.rm('a/d');
    await t.setPermissions('a/b', [{ domid: 3, read: true, write: false }]);
    expect(await t.getPermissions('a/b')).toEqual([{ domid: 3, read: true, write: false }]);
    expect(await t.directory('a')).toEqual(['b', 'c']);
    expect(await t.readChildren('a', ['b'])).toEqual(new Map([['b', '1']]));
    expect(await t.readBuffer('a/b')).toEqual(Buffer.from('1'));
    expect(await t.exists('a/d')).toBe(false);
    expect(await store.exists('a')).toBe(false);
    return 'done';
  });
  expect(result).toBe('done');
  expect(await store.directory('a')).toEqual(['b', 'c']);
});

test('leaves nothing behind when its body throws', async () => {
  const mistake = new Error('mistake');
  const failing = store.transaction(async (t) => {
    await t.write('x', '1');
    throw mistake;
  });
  await expect(failing).rejects.toBe(mistake);
  expect(await store.exists('x')).toBe(false);
});

test('runs again when another writes in between', async () => {
  let runs = 0;
  await store.transaction(async (t) => {
    const n = Number(await t.read('n'));
    if (++runs < 3) await other.write('n', String(n + 10));
    await t.write('n', String(n + 1));
  });
  expect(runs).toBe(3);
  expect(await store.read('n')).toBe('21');
});

test('gives up after the last attempt', async () => {
  let runs = 0;
  const losing = store.transaction(
    async (t) => {
      await t.read('n');
      await other.write('n', String(runs++));
      await t.write('n', 'lost');
    },
    { attempts: 3 },
  );
  await expect(losing).rejects.toMatchObject({ operation: 'transaction', code: 'EAGAIN' });
  expect(runs).toBe(3);
  expect(await store.read('n')).toBe('2');
});

test('counts right under contention', async () => {
  await store.write('n', '0');
  const increment = (connection: Xenstore) =>
    connection.transaction(async (t) => t.write('n', String(Number(await t.read('n')) + 1)), {
      attempts: 1000,
    });
  const many = (connection: Xenstore) => Array.from({ length: 5 }, () => increment(connection));
  await Promise.all([...many(store), ...many(other)]);
  expect(await store.read('n')).toBe('10');
});

test('a commit, too, is tried as often as allowed, and no more', async () => {
  let stop = false;
  const disturbance = (async () => {
    while (!stop) await other.write('n', '0');
  })();
  const operations = Array.from({ length: 20 }, () => ({ op: 'write', path: 'n', value: '1' }) as const);
  let refusal: unknown;
  while (!refusal) refusal = await store.commit(operations, { attempts: 1 }).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ operation: 'commit', code: 'EAGAIN', quota: false });
  stop = true;
  await disturbance;
  await store.commit(operations, { attempts: 1 });
});
