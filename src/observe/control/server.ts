import { once } from 'node:events';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BlockReply } from '../../model/vif-status.js';
import { controlSocket } from '../../runtime/runtime-dir.js';
import type { VifEvent } from '../events.js';
import { limitRequests, withoutChecks } from '../request-limits.js';
import { askerOf } from './asker.js';

/** The state that requests are answered from. */
export interface ControlSource {
  status(vif?: string): Promise<unknown>;
  events(vif?: string): VifEvent[];
  follow(follower: (event: VifEvent) => void): () => void;
  /**
   * Blocks a vif's card or ends that.
   * @param by the user that asks
   * @returns what has come of it, or an error where there is nothing to block or to allow
   */
  setBlock(vif: string, blocked: boolean, by: string): Promise<BlockReply | { readonly error: string }>;
}

/**
 * The daemon's control socket: HTTP on a Unix socket that only root may open. `GET /status`, `/status/vif5.0`,
 * `/events`, `/events/vif5.0`, `/events?follow`, answered with JSON (one object a line when following). It can be asked
 * with `curl --unix-socket /run/vifd/control.sock http://vifd/status`. It changes nothing but by `POST /block/vif5.0` and `/allow/vif5.0`.
 */
export class ControlServer {
  readonly #server: Server;

  private constructor(source: ControlSource) {
    this.#server = createServer(
      { ...withoutChecks, maxHeaderSize: 8192 },
      (request, response) => void respond(source, request, response),
    );
    limitRequests(this.#server);
    this.#server.maxConnections = 32;
    // Input that is not HTTP gets the same answer that Node gives by default.
    this.#server.on('clientError', (_, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  }

  /** For the process that has the lock of its directory. @throws when the socket cannot be made */
  static async listen(source: ControlSource): Promise<ControlServer> {
    const control = new ControlServer(source);
    await control.#listen();
    return control;
  }

  /** Makes the socket again where another program has deleted it. @returns whether it had. @throws when it cannot be made */
  async keep(): Promise<boolean> {
    if (existsSync(controlSocket())) return false;
    if (this.#server.listening) this.#server.close();
    await this.#listen();
    return true;
  }

  async #listen(): Promise<void> {
    const path = controlSocket();
    rmSync(path, { force: true });
    // The umask makes the socket root's alone from its first moment on.
    const before = process.umask(0o177);
    try {
      this.#server.listen(path);
    } finally {
      process.umask(before);
    }
    await once(this.#server, 'listening');
    chmodSync(path, 0o600);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Answers a request. What throws is the error of that request alone. */
async function respond(
  source: ControlSource,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, body: unknown): void => {
    const text = `${JSON.stringify(body)}\n`;
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  };
  try {
    const answer = await answerTo(source, request, response);
    if (answer !== undefined) reply(...answer);
  } catch (error) {
    reply(500, { error: error instanceof Error ? error.message : String(error) });
  }
}

/** The answer to a request; undefined where it is one of events, which are written as they come. */
async function answerTo(
  source: ControlSource,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<[status: number, body: unknown] | undefined> {
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const [, topic, vif, ...more] = path.split('/');
  if (request.method === 'GET' && topic === 'events' && more.length === 0 && query === 'follow') {
    follow(source, vif, response);
    return undefined;
  }
  const sets = more.length === 0 && vif !== undefined && (topic === 'block' || topic === 'allow');
  if (request.method !== (sets ? 'POST' : 'GET')) {
    const error = sets
      ? 'only POST is supported: it changes something'
      : 'only GET is supported: the control socket changes nothing';
    return [405, { error }];
  }
  return sets ? set(source, vif, topic === 'block', request.socket) : lookUp(source, path);
}

async function lookUp(source: ControlSource, path: string): Promise<[status: number, body: unknown]> {
  const [, topic, vif, ...more] = path.split('/');
  if (more.length === 0 && topic === 'events') return [200, source.events(vif)];
  if (more.length === 0 && topic === 'status') {
    const status = await source.status(vif);
    // Of a thousand vifs it took some ms, and so does writing it.
    await nextTurn();
    return status === undefined
      ? [404, { error: `vifd serves no vif "${vif}"; "vifd status" lists those that it serves` }]
      : [200, status];
  }
  return [
    404,
    {
      error:
        'no such path; there are /status[/VIF] and /events[/VIF][?follow], and by POST /block/VIF and /allow/VIF',
    },
  ];
}

/** Blocks a vif or allows it; answered when that is in effect. */
async function set(
  source: ControlSource,
  vif: string,
  blocked: boolean,
  asker: Socket,
): Promise<[status: number, body: unknown]> {
  const reply = await source.setBlock(vif, blocked, askerOf(asker));
  return ['vifs' in reply ? 200 : 404, reply];
}

function follow(source: ControlSource, vif: string | undefined, response: ServerResponse): void {
  const stop = source.follow((event) => {
    // A client that does not read is disconnected, so that its lines do not fill the memory.
    if (response.writableLength > 1 << 20) response.destroy();
    else if (vif === undefined || event.vif === vif) response.write(`${JSON.stringify(event)}\n`);
  });
  response.on('close', stop);
  response.writeHead(200, { 'content-type': 'application/jsonlines' }).flushHeaders();
}
