import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Link, LinkView, Offload } from '../model/observed.js';

const execFileAsync = promisify(execFile);

/** How many netdevs are asked for at once. */
const together = 8;

/**
 * The offloads of netdevs by index: those read when the host was opened, and those that this daemon has set since. Reading
 * costs a process each time. They are read and set by ethtool, since that is seldom wanted and its netlink family is a page
 * of code.
 */
export class Offloads {
  readonly #known = new Map<number, Offload>();

  get known(): ReadonlyMap<number, Offload> {
    return this.#known;
  }

  /** Reads those of netdevs. What ethtool does not tell stays unknown, and is set. */
  async read(links: readonly Link[]): Promise<void> {
    const waiting = [...links];
    const work = async (): Promise<void> => {
      for (let link = waiting.pop(); link !== undefined; link = waiting.pop()) {
        const asked = await execFileAsync('ethtool', ['-k', link.name]).catch(() => undefined);
        if (asked !== undefined) this.#known.set(link.index, parseFeatures(asked.stdout));
      }
    };
    await Promise.all(Array.from({ length: together }, work));
  }

  /** @param links those there are: what is kept of others is forgotten */
  async set(index: number, name: string, offload: Offload, links: LinkView): Promise<void> {
    const settings = Object.entries(offload).flatMap(([feature, on]) => [feature, on ? 'on' : 'off']);
    await execFileAsync('ethtool', ['-K', name, ...settings]).catch(
      (error: { stderr?: string; message: string }) => {
        throw new Error(error.stderr?.trim().split('\n')[0] || error.message);
      },
    );
    for (const known of this.#known.keys()) if (links.byIndex(known) === undefined) this.#known.delete(known);
    this.#known.set(index, { ...this.#known.get(index), ...offload });
  }
}

/** The names that `ethtool -K` takes beside those that `ethtool -k` prints. */
const shortNames: Readonly<Record<string, string>> = {
  'rx-checksumming': 'rx',
  'tx-checksumming': 'tx',
  'scatter-gather': 'sg',
  'tcp-segmentation-offload': 'tso',
  'udp-fragmentation-offload': 'ufo',
  'generic-segmentation-offload': 'gso',
  'generic-receive-offload': 'gro',
  'large-receive-offload': 'lro',
  'rx-vlan-offload': 'rxvlan',
  'tx-vlan-offload': 'txvlan',
  'ntuple-filters': 'ntuple',
  'receive-hashing': 'rxhash',
};

/**
 * The features that `ethtool -k` prints, by all names that `ethtool -K` takes, as they were asked for: one that is off for want of
 * another, `off [requested on]`, is on, and so is what it is part of.
 */
export function parseFeatures(text: string): Offload {
  const features: Record<string, boolean> = {};
  let whole = '';
  for (const line of text.split('\n')) {
    const [, tab, name, is, requested] =
      /^(\t?)([\w-]+): (on|off)(?: \[requested (on|off)\])?/.exec(line) ?? [];
    if (name === undefined) continue;
    const on = (requested ?? is) === 'on';
    features[name] = on;
    if (tab === '') whole = name;
    else if (on) features[whole] = true;
  }
  for (const [name, short] of Object.entries(shortNames))
    if (features[name] !== undefined) features[short] = features[name];
  return features;
}
