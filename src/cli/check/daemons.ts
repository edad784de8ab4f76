import { connect } from 'node:net';
import { Xenstore } from 'node-xenstore';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { controlSocket } from '../../runtime/runtime-dir.js';
import type { Backend } from '../../xenstore/backend.js';
import { backendOf, readAllKeys } from '../plan-now.js';

/** How long xenstored may take to answer, in ms. */
const xenstoreMs = 3000;

/** This domain's id and its vifs; or the reason why xenstore did not answer. */
export type XenstoreFacts =
  | { readonly domid: number; readonly vifs: readonly VifSnapshot[] }
  | { readonly reason: string };

/** Reads the vifs of this domain from xenstore. */
export async function askXenstore(policy: Pick<VifPolicy, 'scripts'>): Promise<XenstoreFacts> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`no answer in ${xenstoreMs / 1000} s`)), xenstoreMs).unref();
  });
  try {
    const xenstore = await Promise.race([Xenstore.open(), late]);
    try {
      return await Promise.race([readVifs(backendOf(xenstore, policy)), late]);
    } finally {
      await xenstore.close();
    }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

async function readVifs(backend: Backend): Promise<{ domid: number; vifs: VifSnapshot[] }> {
  const vifs = await readAllKeys(backend);
  return { domid: await backend.domid(), vifs };
}

/** Whether the daemon runs. */
export const vifdAnswers = (): Promise<boolean> => answers(controlSocket());

/** Whether a daemon accepts a connection at its Unix socket. */
export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .setTimeout(1000, () => end(false));
  });
}
