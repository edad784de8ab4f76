import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Vif } from '../net/domnet.js';
import { until } from './exec.js';

/** What the tests look at in a vif's status. */
export interface Status {
  vif: string;
  state: string;
  error: string | null;
  /** What an attached vif does not have of all that it could have, a sentence each. */
  missing?: string[];
}

/** Any path of an HTTP server on a Unix socket. */
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

/** What `vifd status VIF --json` prints, without the time that a start of Node takes. */
export async function statusOf({ domnet, name }: Vif): Promise<Status> {
  return JSON.parse((await ask(join(domnet.dir, 'control.sock'), `/status/${name}`)).text) as Status;
}

/**
 * Waits until vifs are attached and what they say to be missing is as expected: each sentence matches one of these, and
 * each of these a sentence.
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

/** Expects that dom0 and people are told that these vifs are well. */
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

/** Within this many ms what others did is put right, or told. */
export const aSecond = 1000;
