import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { limitRequests, withoutChecks } from '../../../src/observe/request-limits.js';

let server: Server;
const sockets: Socket[] = [];

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  // What follows events is never answered to its end.
  server = createServer(withoutChecks, (request, response) =>
    request.url === '/follow' ? response.writeHead(200).flushHeaders() : response.end('done\n'),
  );
  limitRequests(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
  server.closeAllConnections();
});

/** Connects, sends a text and, where it is asked for, waits for an answer. */
async function open(text: string, answers = false): Promise<{ socket: Socket; received: () => string }> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  sockets.push(socket);
  let received = '';
  socket.on('data', (data) => {
    received += data;
  });
  const accepted = once(server, 'connection');
  await accepted;
  socket.write(text);
  if (answers) await once(socket, 'data');
  return { socket, received: () => received };
}

test('a server at rest has no timer that goes off', () => {
  vi.advanceTimersByTime(86_400_000);
  expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
});

test('connections without a whole request are ended after 5 s; one that is being answered stays', async () => {
  const silent = await open('');
  const slow = await open('GET /status HTTP/1.1\r\nX: ');
  const done = await open('GET / HTTP/1.1\r\nHost: a\r\n\r\n', true);
  const follower = await open('GET /follow HTTP/1.1\r\nHost: a\r\n\r\n', true);
  vi.advanceTimersByTime(4900);
  slow.socket.write('a');
  expect(silent.socket.closed).toBe(false);
  const ends = [silent, slow, done].map(({ socket }) => once(socket, 'close'));
  vi.advanceTimersByTime(5200);
  await Promise.all(ends);
  expect(slow.received()).toContain('408 Request Timeout');
  expect(follower.socket.closed).toBe(false);
});
