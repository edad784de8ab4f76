import { type Operation, Xenstore, XenstoreError } from 'node-xenstore';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Xenstored } from '../../../test/support/store/xenstored.js';

let server: Xenstored;
let store: Xenstore;

beforeAll(async () => {
  server = await Xenstored.start();
  store = await Xenstore.open({ path: server.socketPath });
  // A domain's directory is made by the toolstack, which there is none of.
  await store.write('domid', '0');
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

beforeEach(() => store.rm('t'));

describe('values', () => {
  test('are read as they were written', async () => {
    await store.write('t/text', 'Grüße');
    expect(await store.read('t/text')).toBe('Grüße');
    expect(await store.read('/local/domain/0/t/text')).toBe('Grüße');
    await store.write('t/empty', '');
    expect(await store.read('t/empty')).toBe('');
  });

  test('may hold every byte', async () => {
    const value = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255));
    await store.write('t/binary', value);
    expect(await store.readBuffer('t/binary')).toEqual(value);
  });

  test('may fill a message to its last byte', async () => {
    const path = 't/full';
    const value = 'x'.repeat(4096 - path.length - 1);
    await store.write(path, value);
    expect(await store.read(path)).toBe(value);
    await expect(store.write(path, `${value}x`)).rejects.toMatchObject({ code: 'E2BIG', quota: false });
  });

  test('keep apart when many are under way', async () => {
    const numbers = Array.from({ length: 500 }, (_, i) => String(i));
    await Promise.all(numbers.map((n) => store.write(`t/${n}`, n)));
    expect(await Promise.all(numbers.map((n) => store.read(`t/${n}`)))).toEqual(numbers);
    // More names than one message holds.
    expect((await store.directory('t')).sort()).toEqual([...numbers].sort());
    expect((await store.readChildren('t'))?.size).toBe(500);
  });
});

describe('directories', () => {
  test('are listed, empty ones too', async () => {
    await store.mkdir('t/dir');
    expect(await store.directory('t/dir')).toEqual([]);
    await store.write('t/dir/a', '1');
    await store.mkdir('t/dir');
    expect(await store.directory('t/dir')).toEqual(['a']);
  });

  test('a directory of many long names takes several messages', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `${i}-${'n'.repeat(200)}`);
    await store.writeMany(names.map((name) => [`t/${name}`, name]));
    expect((await store.directory('t')).sort()).toEqual([...names].sort());
  });

  test('readChildren gives a directory whole or not at all, however often it is removed meanwhile', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `key${i}`);
    const writer = await Xenstore.open({ path: server.socketPath });
    const sizes = new Set<number>();
    let done = false;
    const reading = (async () => {
      while (!done) sizes.add((await store.readChildren('t'))?.size ?? 0);
    })();
    // On a busy machine one side may run long before the other gets its turn: until both states were met.
    for (let round = 0; round < 300 || sizes.size < 2; round++) {
      await writer.writeMany(keys.map((key): [string, string] => [`t/${key}`, 'x']));
      await writer.rm('t');
    }
    done = true;
    await reading;
    await writer.close();
    expect([...sizes].sort((a, b) => a - b)).toEqual([0, keys.length]);
  });

  test('readChildren gives no directory the list of another that was there before it', async () => {
    const dom0 = await Xenstore.open({ path: server.socketPath });
    const device = (keys: Record<string, string>): readonly Operation[] => [
      { op: 'rm', path: 't' },
      ...Object.entries(keys).map(([key, value]) => ({ op: 'write', path: `t/${key}`, value }) as const),
    ];
    await store.mkdir('t');
    let reads = 0;
    let done = false;
    const replacing = (async () => {
      for (let i = 0; i < 300; i++) {
        await dom0.commit(device({ mac: 'a' }));
        await dom0.commit(device({ mac: 'b', ip: '10.0.0.1' }));
        // The next one like the first comes when no read under way has seen the first.
        for (const before = reads; reads < before + 2; ) await new Promise(setImmediate);
      }
      done = true;
    })();
    const seen = new Set<string>();
    for (; !done; reads++) {
      const keys = await store.readChildren('t', ['mac', 'ip']);
      if (keys?.get('mac') === 'b') seen.add(`b ${keys.get('ip')}`);
    }
    await replacing;
    await dom0.close();
    expect([...seen]).toEqual(['b 10.0.0.1']);
  });

  test('readChildren gives all, or those which were asked for and exist', async () => {
    await store.writeMany([
      ['t/mac', '00:16:3e:00:00:01'],
      ['t/bridge', 'xenbr0'],
      ['t/handle', '0'],
    ]);
    expect(await store.readChildren('t')).toEqual(
      new Map([
        ['mac', '00:16:3e:00:00:01'],
        ['bridge', 'xenbr0'],
        ['handle', '0'],
      ]),
    );
    expect(await store.readChildren('t', ['bridge', 'vlan'])).toEqual(new Map([['bridge', 'xenbr0']]));
    expect([...((await store.readChildren('t', ['ha*', 'b'])) ?? [])]).toEqual([['handle', '0']]);
    expect(await store.readChildren('t/mac')).toEqual(new Map());
    expect(await store.readChildren('t/none')).toBeUndefined();
    expect((await store.readChildren('/', ['local']))?.has('local')).toBe(true);
  });

  test('exists and rm', async () => {
    await store.write('t/a/b', '1');
    expect(await store.exists('t/a')).toBe(true);
    await store.rm('t/a');
    expect(await store.exists('t/a/b')).toBe(false);
    await store.rm('t/a');
    await expect(store.rm('t/none/none')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

test('permissions', async () => {
  const permissions = [
    { domid: 1, read: false, write: false },
    { domid: 2, read: true, write: false },
    { domid: 3, read: false, write: true },
    { domid: 4, read: true, write: true },
  ];
  await store.write('t', '');
  await store.setPermissions('t', permissions);
  expect(await store.getPermissions('t')).toEqual(permissions);
  await expect(store.getPermissions('t/none')).rejects.toMatchObject({ code: 'ENOENT' });
});

test('domainPath', async () => {
  expect(await store.domainPath(7)).toBe('/local/domain/7');
  await expect(store.domainPath(-1)).rejects.toMatchObject({ code: 'EINVAL' });
});

test('an error says what failed, where and why', async () => {
  const error = await store.read('t/none').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(XenstoreError);
  expect(error).toMatchObject({ operation: 'read', path: 't/none', code: 'ENOENT', quota: false });
  expect(String(error)).toBe('XenstoreError: read t/none: no such path (ENOENT)');
});

describe('commit', () => {
  test('does all', async () => {
    await store.writeMany([
      ['t/gone/a', '1'],
      ['t/state', '1'],
    ]);
    await store.commit([
      { op: 'expect', path: 't/gone' },
      { op: 'expect', path: 't/state', value: '1' },
      { op: 'write', path: 't/state', value: Buffer.from('2') },
      { op: 'mkdir', path: 't/new' },
      { op: 'rm', path: 't/gone' },
    ]);
    expect(await store.readChildren('t')).toEqual(
      new Map([
        ['state', '2'],
        ['new', ''],
      ]),
    );
    await store.commit([]);
  });

  test.each<[string, Operation, string]>([
    ['a path that is gone', { op: 'expect', path: 't/none' }, 'ENOENT'],
    ['a value that is another', { op: 'expect', path: 't/state', value: '1x' }, 'ESTALE'],
    ['what xenstored refuses', { op: 'rm', path: 't/none/none' }, 'ENOENT'],
  ])('does nothing at %s', async (_, operation, code) => {
    await store.write('t/state', '1');
    const write: Operation = { op: 'write', path: 't/state', value: '2' };
    await expect(store.commit([write, operation, write])).rejects.toMatchObject({
      operation: operation.op,
      path: operation.path,
      code,
    });
    expect(await store.read('t/state')).toBe('1');
    await expect(store.commit([operation])).rejects.toMatchObject({ operation: operation.op, code });
  });
});

describe('arguments are checked before they are sent', () => {
  test.each([
    ['', 'the path is empty'],
    ['a\0b', 'a path is made of letters, digits and - / _ @'],
    ['a b', 'a path is made of letters, digits and - / _ @'],
    ['ä', 'a path is made of letters, digits and - / _ @'],
    ['a\n', 'a path is made of letters, digits and - / _ @'],
    ['a/', 'a path does not end in /'],
    ['a//b', 'a path has no empty component'],
    ['a'.repeat(2049), 'the path is longer than 2048 bytes'],
    [`/${'a'.repeat(3072)}`, 'the path is longer than 3072 bytes'],
  ])('%j', async (path, cause) => {
    const refused = { path, code: 'EINVAL', quota: false, message: expect.stringContaining(cause) };
    await expect(store.read(path)).rejects.toMatchObject(refused);
    await expect(store.write(path, '')).rejects.toMatchObject(refused);
    await expect(store.watch(path)).rejects.toMatchObject(refused);
    await expect(store.readChildren('t', [path])).rejects.toMatchObject(refused);
    await expect(store.commit([{ op: 'rm', path }])).rejects.toMatchObject(refused);
  });

  test('attempts, domids', async () => {
    await expect(store.commit([], { attempts: 0 })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(store.transaction(async () => {}, { attempts: 1.5 })).rejects.toMatchObject({
      code: 'EINVAL',
    });
    const permissions = [{ domid: 0x7ff0, read: true, write: true }];
    await expect(store.setPermissions('t', permissions)).rejects.toMatchObject({ code: 'EINVAL' });
  });
});
