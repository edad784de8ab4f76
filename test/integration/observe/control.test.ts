import { once } from 'node:events';
import { chmodSync, readdirSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;
let vif: Vif;
let path: string;
let sockets: Socket[];

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  daemon = await domnet.vifd();
  vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  path = join(domnet.dir, 'control.sock');
});
afterAll(() => domnet.stop());

beforeEach(() => {
  sockets = [];
});
// After each of these it is the same daemon, answers at once, and serves vifs.
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  const answer = JSON.parse(await until('an answer', () => get('/status').catch(() => undefined)));
  expect(answer).toMatchObject({ vifs: [{ vif: 'vif5.0', state: 'attached' }] });
  await domnet.ip('link set vif5.0 nomaster');
  await until('the repair', async () => (await domnet.link('vif5.0'))?.master === 'xenbr0');
  expect(daemon.noise).toEqual([]);
  expect(daemon.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
});

/** A connection; what becomes of it is no error of the test. */
async function open(): Promise<Socket> {
  const socket = connect(path).on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/**
 * What is answered to these bytes until the daemon closes the connection. Node throws away what it has not read
 * when a write fails, and the daemon may answer and close before the last of many bytes is written: then once more.
 */
async function say(bytes: string | Buffer): Promise<string> {
  const socket = await open();
  let answer = '';
  let broken = false;
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.on('error', () => {
    broken = true;
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.end(bytes);
  await closed;
  return broken && answer === '' ? say(bytes) : answer;
}

function get(url: string): Promise<string> {
  return ask('GET', url).then(({ body }) => body);
}

async function ask(method: string, url: string): Promise<{ status: number | undefined; body: string }> {
  const asking = request({ socketPath: path, method, path: url, agent: false }).end();
  const [answer] = await once(asking, 'response');
  let body = '';
  for await (const chunk of answer.setEncoding('utf8')) body += chunk;
  return { status: answer.statusCode, body };
}

test('it is for root only', async () => {
  expect(statSync(path).mode & 0o777).toBe(0o600);
  // Its directory would already keep others out.
  chmodSync(domnet.dir, 0o755);
  try {
    const python = `import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('${path}')`;
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '/usr/bin/python3', '-c', python];
    await expect(exec('setpriv', nobody)).rejects.toThrow('PermissionError');
    await exec('/usr/bin/python3', ['-c', python]);
  } finally {
    chmodSync(domnet.dir, 0o700);
  }
});

/** The same bytes at each run: a failure can be repeated. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = 1; i < length; i++, x = (x * 48271) % 2147483647) bytes[i] = x & 255;
  return bytes;
}

test.each([
  ['random bytes', noise(4096)],
  ['NULs', Buffer.alloc(4096)],
  ['a TLS hello', Buffer.from('160301020001000200010001fc0303', 'hex')],
  ['a header of 100 kB', `GET /status HTTP/1.1\r\nHost: vifd\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`],
  ['a path of 100 kB', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: vifd\r\n\r\n`],
  ['a NUL in the path', 'GET /status/\0 HTTP/1.1\r\nHost: vifd\r\n\r\n'],
  ['two lengths', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
])('%s: 400, and closed', async (_what, bytes) => {
  expect(await say(bytes)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
});

test('half a request and then nothing more to come', async () => {
  expect(await say('GET /sta')).toMatch(/^$|^HTTP\/1\.1 400 /);
  expect(await say('')).toMatch(/^$|^HTTP\/1\.1 400 /);
});

test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is refused', async (method) => {
  for (const url of ['/status', '/events', '/events?follow'])
    expect(await ask(method, url)).toEqual({
      status: 405,
      body: '{"error":"only GET is supported: the control socket changes nothing"}\n',
    });
});

test('what changes something is asked for by POST, of a vif that there is', async () => {
  for (const topic of ['block', 'allow']) {
    expect(await ask('GET', `/${topic}/vif5.0`)).toMatchObject({ status: 405 });
    const { status, body } = await ask('POST', `/${topic}/vif99.0`);
    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 404,
      body: { error: expect.stringMatching(/^vifd serves no vif "vif99.0"/) },
    });
    expect(await ask('POST', `/${topic}/vif5.0/more`)).toMatchObject({ status: 405 });
  }
});

test.each([
  '/',
  '//',
  '/statu',
  '/status/',
  '/status/vif9.0',
  '/status/vif5.0/more',
  '/../../../etc/passwd',
  '/status/../../etc/passwd',
  '/status/..%2f..%2fetc%2fpasswd',
  '/status/%00',
  '/status/__proto__',
  '/constructor',
  '/eventsfoo?follow',
  '/events/vif5.0/more?follow',
  '*',
])('GET %s: 404 with the reason', async (url) => {
  const { status, body } = await ask('GET', url);
  expect(status).toBe(404);
  expect(JSON.parse(body)).toEqual({
    error: expect.stringMatching(/^vifd serves no vif |^no such path; there are /),
  });
});

test('events of a vif that never was are none', async () => {
  expect(await get('/events/__proto__')).toBe('[]\n');
});

test('a client that sends nothing, or hardly anything, is cut off, so that others get in', async () => {
  const slow = await Promise.all(Array.from({ length: 32 }, open));
  for (const [i, socket] of slow.entries()) if (i % 2) socket.write('GET /status HTTP/1.1\r\nX: ');
  const trickle = setInterval(() => {
    for (const [i, socket] of slow.entries()) if (i % 2 && !socket.destroyed) socket.write('a');
  }, 500);
  try {
    for (const socket of slow) socket.resume();
    await until('all to be cut off', () => slow.every((socket) => socket.destroyed), 15_000);
  } finally {
    clearInterval(trickle);
  }
}, 30_000);

test('hundreds of connections: those too many are closed, the rest served', async () => {
  const many = await Promise.all(Array.from({ length: 300 }, open));
  for (const socket of many) socket.resume();
  await until('those too many to be closed', () => many.filter((socket) => !socket.destroyed).length === 32);
});

test('hundreds of questions at once, all that were let in answered', async () => {
  const answers = await Promise.allSettled(Array.from({ length: 200 }, () => get('/status')));
  const answered = answers.filter((one) => one.status === 'fulfilled');
  expect(answered.length).toBeGreaterThanOrEqual(32);
  for (const { value } of answered) expect(JSON.parse(value)).toMatchObject({ pid: daemon.pid });
});

test('a follower that does not read is let go', async () => {
  const handles = () => readdirSync(`/proc/${daemon.pid}/fd`).length;
  const alone = handles();
  const followers = await Promise.all(Array.from({ length: 4 }, open));
  for (const socket of followers) {
    socket.pause();
    socket.write('GET /events?follow HTTP/1.1\r\nHost: vifd\r\n\r\n');
  }
  await until('the followers', () => handles() === alone + followers.length);
  // Vifs whose errors change all the time, and are long.
  const vifs = await Promise.all(
    Array.from({ length: 16 }, (_, i) => domnet.writeDevice({ domid: 100 + i, keys: { mac: 'wrong' } })),
  );
  let round = 0;
  await until(
    'the followers to be let go',
    async () => {
      const mac = `${round++} ${'x'.repeat(200)}`;
      await domnet.xenstore.writeMany(vifs.map((one): [string, string] => [`${one.backend}/mac`, mac]));
      await until('the errors', async () =>
        (await vifs.at(-1)?.read('hotplug-error'))?.includes(`"${round - 1} `),
      );
      return handles() === alone;
    },
    40_000,
  );
  for (const one of vifs) await domnet.xenstore.rm(one.backend);
  await until('the removal', async () => JSON.parse(await get('/status')).vifs.length === 1);
}, 60_000);
