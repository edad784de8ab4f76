import { randomBytes } from 'node:crypto';
import type { Xenstore, XenstoreError } from 'node-xenstore';
import { refusal } from './refusal.js';

/** Below this domain's own path, where libxl lets the domain write `data` and nothing else that dom0 may watch. */
const path = 'data/vifd';

/**
 * The node by which dom0 knows that vifd serves this domain: its version, and a word that no other start has. It only
 * helps dom0, so that a xenstored which refuses it costs the vifs nothing.
 */
export class Presence {
  readonly #xenstore: Xenstore;
  readonly #value: string;

  constructor(xenstore: Xenstore, version: string) {
    this.#xenstore = xenstore;
    this.#value = `${version} ${randomBytes(8).toString('hex')}`;
  }

  /**
   * Writes the node unless it is there as written; one request where it is.
   * @returns why xenstored refused it
   */
  async keep(): Promise<XenstoreError | undefined> {
    try {
      if ((await this.#xenstore.read(path).catch(refusal)) === this.#value) return undefined;
      // Not into a store that has forgotten this domain.
      await this.#xenstore.commit([
        { op: 'expect', path: 'domid' },
        { op: 'write', path, value: this.#value },
      ]);
      return undefined;
    } catch (error) {
      return refusal(error);
    }
  }

  /** Removes the node, also one that an earlier start left when it was killed. Never rejects. */
  async withdraw(): Promise<void> {
    await this.#xenstore.rm(path).catch(() => undefined);
  }
}
