import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { LinkView, Offload } from '../model/observed.js';

const execFileAsync = promisify(execFile);

/**
 * The offloads of netdevs that this daemon has set, by index: asking for them costs a process each time. They are set by
 * ethtool, since that is seldom wanted and its netlink family is a page of code.
 */
export class Offloads {
  readonly #made = new Map<number, Offload>();

  get made(): ReadonlyMap<number, Offload> {
    return this.#made;
  }

  /** @param links those there are: what is kept of others is forgotten */
  async set(index: number, name: string, offload: Offload, links: LinkView): Promise<void> {
    const settings = Object.entries(offload).flatMap(([feature, on]) => [feature, on ? 'on' : 'off']);
    await execFileAsync('ethtool', ['-K', name, ...settings]).catch(
      (error: { stderr?: string; message: string }) => {
        throw new Error(error.stderr?.trim().split('\n')[0] || error.message);
      },
    );
    for (const known of this.#made.keys()) if (links.byIndex(known) === undefined) this.#made.delete(known);
    this.#made.set(index, { ...this.#made.get(index), ...offload });
  }
}
