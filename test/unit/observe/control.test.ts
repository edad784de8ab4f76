import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ControlServer, type ControlSource } from '../../../src/observe/control/server.js';

const dir = mkdtempSync(join(tmpdir(), 'vifd-control-'));
let control: ControlServer;
const source: ControlSource = {
  status: async () => ({ vif: 'vif5.0' }),
  events: () => [],
  follow: () => () => undefined,
  setBlock: async () => ({ error: 'not found' }),
};
const now = { ...source };

beforeAll(async () => {
  vi.stubEnv('VIFD_RUNTIME_DIR', dir);
  control = await ControlServer.listen(now);
});
afterAll(() => {
  control.close();
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

/** The status and the body of an answer; a connection that ends without one rejects. */
const ask = (path: string, method = 'GET'): Promise<[status: number | undefined, body: string]> =>
  new Promise((resolve, reject) => {
    request({ socketPath: join(dir, 'control.sock'), path, method }, async (response) => {
      let body = '';
      for await (const part of response) body += part;
      resolve([response.statusCode, body]);
    })
      .on('error', reject)
      .end();
  });

const fail = (): never => {
  throw new Error('the kernel says no');
};

test.each<[string, string, string, Partial<ControlSource>]>([
  ['a status that cannot be read', 'GET', '/status/vif5.0', { status: async () => fail() }],
  ['a status that throws at once', 'GET', '/status', { status: fail }],
  ['events that throw', 'GET', '/events', { events: fail }],
  ['a follower that is refused', 'GET', '/events?follow', { follow: fail }],
  ['a block that cannot be kept', 'POST', '/block/vif5.0', { setBlock: async () => fail() }],
  ['what JSON cannot say', 'GET', '/status/vif5.0', { status: async () => ({ toJSON: fail }) }],
])('%s is an error of its request, and the next one is served', async (_, method, path, broken) => {
  Object.assign(now, source, broken);
  expect(await ask(path, method)).toEqual([500, '{"error":"the kernel says no"}\n']);
  Object.assign(now, source);
  expect(await ask('/status/vif5.0')).toEqual([200, '{"vif":"vif5.0"}\n']);
});
