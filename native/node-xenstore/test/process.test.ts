import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Xenstore, XenstoreError } from 'node-xenstore';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Xenstored } from '../../../test/support/store/xenstored.js';

let server: Xenstored;

beforeEach(async () => {
  server = await Xenstored.start();
});

afterEach(() => server.stop());

/**
 * Runs a script with `store`, a connection, `watch`, an outstanding watch, and `xenstored`, the daemon's pid.
 * @returns what it printed, its exit code, and the milliseconds from its printing "now" to its end
 */
async function run(script: string, ...options: string[]): Promise<{ out: string; code: number; ms: number }> {
  const prelude = `
    import { Xenstore } from 'node-xenstore';
    const store = await Xenstore.open();
    const xenstored = ${server.pid};
    const watch = await store.watch('w');
  `;
  const child = spawn(process.execPath, [...options, '--input-type=module', '-e', prelude + script], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, XENSTORED_PATH: server.socketPath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  let start = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    if (out.includes('now')) start ||= performance.now();
  });
  const [code] = (await once(child, 'close')) as [number];
  return { out, code, ms: performance.now() - start };
}

test.each([
  ['with a watch outstanding', `console.log('now'); process.exit(7)`],
  [
    'when xenstored is killed',
    `store.once('lost', () => { console.log('now'); process.exit(7) }); process.kill(xenstored, 'SIGKILL');`,
  ],
  [
    'while xenstored is stopped and requests pend',
    `process.kill(xenstored, 'SIGSTOP'); store.read('a'); setTimeout(() => { console.log('now'); process.exit(7) }, 50)`,
  ],
  [
    'while xenstored is stopped and a connection opens',
    `process.kill(xenstored, 'SIGSTOP');
     for (let i = 0; i < 5; i++) Xenstore.open();
     setTimeout(() => { console.log('now'); process.exit(7) }, 50)`,
  ],
])('a process ends promptly %s', async (_, script) => {
  const { code, ms } = await run(script);
  expect(code).toBe(7);
  expect(ms).toBeLessThan(5000);
});

test('a process ends by itself once the connection is closed, even while xenstored is stopped', async () => {
  const { out, code, ms } = await run(`
    process.kill(xenstored, 'SIGSTOP');
    const pending = store.read('a');
    setTimeout(() => { console.log('now'); store.close() }, 50);
    await pending.catch((error) => console.log(error.message));
  `);
  expect(out).toContain('read a: the connection is closed (ENOTCONN)');
  expect(code).toBe(0);
  expect(ms).toBeLessThan(5000);
});

test('the event loop goes on while xenstored is stopped, and requests are answered after', async () => {
  const store = await Xenstore.open({ path: server.socketPath });
  await store.write('a', '1');
  server.signal('SIGSTOP');
  let settled = 0;
  const pending = Promise.all(
    Array.from({ length: 100 }, () =>
      store.read('a').finally(() => {
        settled++;
      }),
    ),
  );
  // More of them than the threads libuv has.
  for (let tick = 0; tick < 20; tick++) {
    const start = performance.now();
    await sleep(5);
    expect(performance.now() - start).toBeLessThan(2000);
  }
  expect(settled).toBe(0);
  server.signal('SIGCONT');
  expect(new Set(await pending)).toEqual(new Set(['1']));
  await store.close();
});

test('the loss of xenstored is told once to each listener', async () => {
  const store = await Xenstore.open({ path: server.socketPath });
  const told: XenstoreError[] = [];
  store.on('lost', (error) => told.push(error));
  const watch = await store.watch('w');
  const loop = (async () => {
    for await (const _ of watch);
  })();
  server.signal('SIGSTOP');
  const pending = [
    store.read('a'),
    store.writeMany([['b', '1']]),
    store.watch('c'),
    store.transaction(async () => {}),
  ];
  const outcome = Promise.allSettled([...pending, loop]);
  const lost = once(store, 'lost');
  server.signal('SIGKILL');
  await lost;
  for (const result of await outcome)
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ENOTCONN' } });
  await expect(store.read('a')).rejects.toMatchObject({
    code: 'ENOTCONN',
    message: 'read a: the connection to xenstored is lost (ENOTCONN)',
  });
  await watch.close();
  await store.close();
  expect(told).toHaveLength(1);
  expect(told[0]).toBeInstanceOf(XenstoreError);
});

test('the loss is noticed while idle', async () => {
  const store = await Xenstore.open({ path: server.socketPath });
  const lost = once(store, 'lost');
  server.signal('SIGKILL');
  await lost;
});

test('without xenstored, opening fails', async () => {
  await server.stop();
  await expect(Xenstore.open({ path: server.socketPath })).rejects.toMatchObject({
    code: 'ENOENT',
    message: `open ${server.socketPath}: xenstored cannot be reached (ENOENT)`,
  });
});

test('opening by path leaves the environment as it was', async () => {
  const { out } = await run(`
    const saved = process.env.XENSTORED_PATH;
    const other = await Xenstore.open({ path: saved });
    console.log(process.env.XENSTORED_PATH === saved);
    delete process.env.XENSTORED_PATH;
    const third = await Xenstore.open({ path: saved });
    console.log(process.env.XENSTORED_PATH);
    for (const connection of [store, other, third]) await connection.close();
  `);
  expect(out).toBe('true\nundefined\n');
});

test('threads and descriptors go with their connection', async () => {
  const { out } = await run(`
    import { readdirSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    const count = () => readdirSync('/proc/self/task').length + readdirSync('/proc/self/fd').length;
    const before = count();
    const connections = await Promise.all(Array.from({ length: 20 }, () => Xenstore.open()));
    await Promise.all(connections.map((connection) => connection.watch('w')));
    await Promise.all(connections.map((connection) => connection.close()));
    // The threads end on their own, soon.
    for (let i = 0; i < 200 && count() > before; i++) await setTimeout(10);
    console.log(count() - before);
    await store.close();
  `);
  expect(Number(out)).toBeLessThanOrEqual(0);
});

test.each([
  ['smaller than its header', [4, 2, 0, 0, 0]],
  ['without the operations it counts', [20, 2, 0, 0, 3]],
  ['with a path longer than itself', [32, 2, 0, 0, 1, 1, 0xffffffff, 0xffffffff]],
])('a frame %s ends the connection, and nothing else', async (_, numbers) => {
  const { out, code } = await run(`
    import { once } from 'node:events';
    import { Socket } from 'node:net';
    import { startThread } from './dist/native.js';
    const socket = new Socket(startThread(null)).resume();
    socket.write(new Uint8Array(Uint32Array.from(${JSON.stringify(numbers)}).buffer));
    await once(socket, 'close');
    console.log(await store.exists('none'));
    await store.close();
  `);
  expect(out).toBe('false\n');
  expect(code).toBe(0);
});

test('memory stays flat over 200,000 operations', async () => {
  // What is in use, of both halves: the resident size has up to 9 MB in it that only wait to be given back.
  const { out } = await run(
    `
    import { readFileSync, rmSync } from 'node:fs';
    import ffi from 'ffi-napi';
    const libc = ffi.Library(null, {
      fopen: ['pointer', ['string', 'string']], malloc_info: ['int', ['int', 'pointer']], fclose: ['int', ['pointer']],
    });
    const file = process.env.XENSTORED_PATH + '.malloc';
    const inUse = () => {
      gc();
      const stream = libc.fopen(file, 'w');
      libc.malloc_info(0, stream);
      libc.fclose(stream);
      const all = readFileSync(file, 'utf8').split('</heap>').at(-1);
      rmSync(file);
      const size = (what) => Number(new RegExp('type="' + what + '".* size="(\\\\d+)"').exec(all)[1]);
      const allocated = size('current') + size('mmap') - size('fast') - size('rest');
      return (allocated + process.memoryUsage().heapUsed) / 1024;
    };
    await store.writeMany([['a/1', 'one'], ['a/2', 'two'], ['a/3', 'three']]);
    const operations = async (count) => {
      for (let i = 0; i < count; i += 100) {
        await Promise.all(Array.from({ length: 25 }, () => [
          store.read('a/1'), store.directory('a'), store.readChildren('a', ['2']), store.exists('w/none'),
        ]).flat());
      }
    };
    // What was read last may still wait to be freed.
    const lowest = async () => {
      const seen = [];
      for (let i = 0; i < 5; i++) {
        await operations(1000);
        seen.push(inUse());
      }
      return Math.min(...seen);
    };
    await operations(30_000);
    const before = await lowest();
    await operations(200_000);
    console.log(await lowest() - before);
    await store.close();
  `,
    '--expose-gc',
  );
  // In KB: 10 bytes an operation.
  expect(Number(out)).toBeLessThan(2048);
});
