import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { JsonSplitter } from '../../../../src/host/ovsdb/json-splitter.js';
import { OpenVswitch } from '../../../../src/host/ovsdb/openvswitch.js';

// A server that says what ovsdb-server never does. That ends the connection, as the loss of the server does: the next one
// reads everything anew.

const whole = { Bridge: { b: { new: { name: 'ovsbr0', ports: ['set', []], datapath_type: '' } } } };

let dir: string;
let server: Server;
let database: OpenVswitch;
let reasons: unknown[];
/** How often the server has been connected to. */
let connections: number;
/** What the first connection gets, as it is, for `monitor`, and after that. */
let first: { reply?: string; later?: string };

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vifd-ovsdb-'));
  [reasons, connections] = [[], 0];
  server = createServer((socket) => serve(socket, connections++ === 0));
  await new Promise<void>((resolve) => server.listen(join(dir, 'db.sock'), resolve));
  const write = (line: string): void => void reasons.push(JSON.parse(line).error);
  const log = pino({ level: 'warn', base: null }, { write });
  database = new OpenVswitch(`unix:${dir}/db.sock`, () => undefined, log);
});
afterEach(() => {
  database.close();
  server.close();
  rmSync(dir, { recursive: true });
});

function serve(socket: Socket, isFirst: boolean): void {
  const splitter = new JsonSplitter();
  socket.setEncoding('utf8').on('error', () => undefined);
  socket.on('data', (text: string) => {
    for (const { id, method } of splitter.push(text).map((one) => JSON.parse(one))) {
      const result = method === 'monitor' ? whole : { locked: false };
      const reply = JSON.stringify({ id, result, error: null });
      const isBroken = isFirst && method === 'monitor';
      socket.write(isBroken ? (first.reply?.replace('ID', id) ?? reply) : reply);
      // By itself, when what was asked for has been applied.
      const { later } = first;
      if (isBroken && later !== undefined) setTimeout(() => socket.write(later), 30);
    }
  });
}

const update = (params: unknown): string => JSON.stringify({ id: null, method: 'update', params });

test.each<[string, typeof first, RegExp]>([
  ['what is no JSON', { reply: '{"id":1,}' }, /JSON/],
  ['another protocol', { reply: 'HTTP/1.1 400 Bad Request\r\n' }, /expected a JSON object/],
  ['a reply to monitor without tables', { reply: '{"id":ID,"result":null,"error":null}' }, /null/],
  ['a table without rows', { reply: '{"id":ID,"result":{"Port":null},"error":null}' }, /null/],
  ['an update without content', { later: update(null) }, /null/],
  ['an update of a row that is none', { later: update([null, { Port: { p: null } }]) }, /null/],
])('%s ends that connection, and the next is served', async (_, broken, reason) => {
  first = broken;
  await database.begin();
  await vi.waitFor(() => expect(connections).toBe(2));
  await vi.waitFor(() => expect(database.state).toBe('known'));
  expect(database.bridge('ovsbr0')?.name).toBe('ovsbr0');
  expect(reasons).toEqual([expect.stringMatching(reason)]);
});
