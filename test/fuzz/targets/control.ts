import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlServer } from '../../../src/observe/control/server.js';
import type { Target } from '../targets.js';

const known = 'vif5.0';
let blocked: string[] = [];
let server: Promise<{ path: string; close: () => void }> | undefined;

/** The server with one vif, and the path of its socket. */
async function serve(): Promise<{ path: string; close: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), 'vifd-fuzz-'));
  const before = process.env.VIFD_RUNTIME_DIR;
  process.env.VIFD_RUNTIME_DIR = directory;
  const listening = ControlServer.listen({
    status: async (vif) => (vif === undefined ? { vifs: [] } : vif === known ? { vif } : undefined),
    events: () => [],
    follow: () => () => undefined,
    setBlock: async (vif) => {
      blocked.push(vif);
      return { error: 'not found' };
    },
  });
  if (before === undefined) delete process.env.VIFD_RUNTIME_DIR;
  else process.env.VIFD_RUNTIME_DIR = before;
  const control = await listening;
  const close = (): void => {
    control.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { path: join(directory, 'control.sock'), close };
}

/** What the server says to these bytes until it has ended the connection. */
const said = (path: string, bytes: Buffer): Promise<string> =>
  new Promise((resolve) => {
    let answer = '';
    const socket = connect(path);
    // A stream of events has no end; what was asked is answered by then.
    socket.setTimeout(50, () => socket.destroy());
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(answer));
    socket.end(bytes);
  });

/** The control socket: any bytes are answered in HTTP or with the end of the connection, and change nothing but by POST to one path. */
export const control: Target = {
  name: 'control',
  seeds: [
    'GET /status HTTP/1.0\r\n\r\n',
    'GET /status/vif5.0 HTTP/1.1\r\nHost: vifd\r\nConnection: close\r\n\r\n',
    'GET /events/vif5.0?follow HTTP/1.0\r\n\r\n',
    'POST /block/vif5.0 HTTP/1.0\r\nContent-Length: 0\r\n\r\n',
    'POST /allow/vif5.0 HTTP/1.1\r\nHost: vifd\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n',
  ],
  words: [
    'GET ',
    'POST ',
    '/status',
    '/events',
    '/block/',
    '/allow/',
    'vif5.0',
    '?follow',
    ' HTTP/1.0\r\n\r\n',
    ' HTTP/1.1\r\n',
    '%2e%2e',
    '\r\n',
    'Expect: 100-continue\r\n',
    'Upgrade: x\r\nConnection: upgrade\r\n',
  ],
  longest: 400,
  async run(input) {
    server ??= serve();
    const { path } = await server;
    blocked = [];
    const answer = await said(path, input);
    if (answer !== '' && !answer.startsWith('HTTP/1.1 '))
      throw new Error(`not HTTP: ${JSON.stringify(answer)}`);
    if (blocked.length > 0 && !/POST +\S*\/(block|allow)\//i.test(input.toString('latin1')))
      throw new Error(`blocked ${blocked.join()} unasked`);
  },
  async close() {
    (await server)?.close();
    server = undefined;
  },
};
