import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Vif } from '../net/domnet.js';
import { until } from './exec.js';

/** The fields of a vif's status that tests use. */
export interface Status {
  vif: string;
  state: string;
  error: string | null;
  /** What an attached vif lacks, a sentence each. */
  missing?: string[];
}

/** Requests a path of an HTTP server on a Unix socket. */
export async function ask(socketPath: string, path: string, method = 'GET'): Promise<Answer> {
  const asking = request({ socketPath, path, method, agent: false }).end();
  const [answer] = await once(asking, 'response');
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return { status: answer.statusCode, text };
}

interface Answer {
  status: number;
  text: string;
}

/** The status that `vifd status VIF --json` prints, read from the socket to save the start of Node. */
export async function statusOf({ domnet, name }: Vif): Promise<Status> {
  return JSON.parse((await ask(join(domnet.dir, 'control.sock'), `/status/${name}`)).text) as Status;
}

/**
 * Waits until vifs are attached and lack what is expected: each sentence of `missing` matches a pattern, and each pattern a
 * sentence.
 */
export async function missing(
  vifs: readonly Vif[],
  expected: readonly RegExp[],
  timeoutMs = aSecond,
): Promise<void> {
  for (const vif of vifs) {
    let last: Status | undefined;
    await until(
      `${vif.name} to be attached without ${expected.join(' and ') || 'anything missing'}`,
      async () => {
        last = await statusOf(vif);
        const told = last.missing;
        if (last.state !== 'attached' || told === undefined) return false;
        return (
          expected.every((pattern) => told.some((sentence) => pattern.test(sentence))) &&
          told.every((sentence) => expected.some((pattern) => pattern.test(sentence)))
        );
      },
      timeoutMs,
    ).catch((error: Error) => {
      const { state, error: reason, missing: told } = last ?? {};
      throw new Error(`${error.message}; it says ${JSON.stringify({ state, reason, told })}`);
    });
  }
}

/** Expects that xenstore and `vifd status` have these vifs as attached, and without an error. */
export async function connected(...vifs: Vif[]): Promise<void> {
  const told = vifs.map(async (vif) => {
    const { state, error } = await statusOf(vif);
    const keys = [await vif.read('hotplug-status'), await vif.read('hotplug-error')];
    return [vif.name, state, error, ...keys];
  });
  expect(await Promise.all(told)).toEqual(
    vifs.map(({ name }) => [name, 'attached', null, 'connected', undefined]),
  );
}

/** Within this many ms a change by another program is repaired, or reported. */
export const aSecond = 1000;
