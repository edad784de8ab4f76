import { type Watch, Xenstore } from 'node-xenstore';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Xenstored } from '../../../test/support/store/xenstored.js';

let server: Xenstored;
let store: Xenstore;

beforeAll(async () => {
  server = await Xenstored.start();
  store = await Xenstore.open({ path: server.socketPath });
});

afterAll(async () => {
  await store.close();
  await server.stop();
});

/** A watch that has fired for the first time. */
async function watched(path: string, token?: string): Promise<{ watch: Watch; next: () => Promise<string> }> {
  const watch = await store.watch(path, token === undefined ? {} : { token });
  const events = watch[Symbol.asyncIterator]();
  const next = async () => (await events.next()).value?.path ?? 'the end';
  expect(await next()).toBe(path);
  return { watch, next };
}

test('fires at once, then for the path, what is below, its end and its return', async () => {
  const { watch, next } = await watched('w');
  await store.write('w', '1');
  expect(await next()).toBe('w');
  await store.write('w/below', '1');
  expect(await next()).toBe('w/below');
  await store.rm('w');
  expect(await next()).toBe('w');
  await store.write('w/below/deep', '1');
  expect(await next()).toBe('w/below/deep');
  await watch.close();
});

test('absolute paths stay absolute', async () => {
  const { watch, next } = await watched('/local/domain/0/absolute');
  await store.write('absolute/x', '1');
  expect(await next()).toBe('/local/domain/0/absolute/x');
  await watch.close();
});

test('two on one path both fire, with their own tokens', async () => {
  const first = await store.watch('same', { token: 'same' });
  const second = await store.watch('same', { token: 'same' });
  const third = await store.watch('same', { token: 'any \0 string ü' });
  for (const watch of [first, second, third]) {
    for await (const event of watch) {
      expect(event).toEqual({ path: 'same', token: watch.token });
      break;
    }
  }
  await first.close();
  await store.write('same', '1');
  for await (const event of second) {
    expect(event).toEqual({ path: 'same', token: 'same' });
    break;
  }
  for await (const event of first) expect.fail(`an event after close: ${event.path}`);
  await second.close();
  await third.close();
});

test('a closed one ends its loop, and may be closed again', async () => {
  const { watch, next } = await watched('closing');
  const end = next();
  await watch.close();
  await watch.close();
  expect(await end).toBe('the end');
});

test('many events keep their order', async () => {
  const { watch, next } = await watched('many');
  await store.writeMany(Array.from({ length: 200 }, (_, i) => [`many/${i}`, '']));
  for (let i = 0; i < 200; i++) expect(await next()).toBe(`many/${i}`);
  await watch.close();
});

test('special watches', async () => {
  const watch = await store.watch('@releaseDomain');
  for await (const { path } of watch) {
    expect(path).toBe('@releaseDomain');
    break;
  }
  await watch.close();
});

test('closing the connection ends them, and frees them in xenstored', async () => {
  const connection = await Xenstore.open({ path: server.socketPath });
  const watch = await connection.watch('w');
  const loop = (async () => {
    let events = 0;
    for await (const _ of watch) events++;
    return events;
  })();
  await connection.close();
  await watch.close();
  expect(await loop).toBeLessThanOrEqual(1);
  await connection.close();
  await expect(connection.watch('w')).rejects.toMatchObject({ code: 'ENOTCONN' });
});
