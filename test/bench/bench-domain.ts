import { setTimeout as sleep } from 'node:timers/promises';
import type { Domnet } from '../support/net/domnet.js';
import { exec, until } from '../support/process/exec.js';

const firstDomid = 10;
const bridge = 'xenbr0';

/**
 * A driver domain for benchmarks, the same for all agents: its netdevs exist already, down, as netback makes them. `run`
 * writes the backend directories of some vifs in one transaction, in InitWait, and measures the time until the last of
 * them is connected. Both ends of the interval are events of the same watches in this process, so that neither the writing
 * nor the reading is part of it.
 */
export class BenchDomain {
  readonly domnet: Domnet;
  readonly #size: number;
  readonly #interrupted: AbortSignal;

  private constructor(domnet: Domnet, size: number, interrupted: AbortSignal) {
    this.domnet = domnet;
    this.#size = size;
    this.#interrupted = interrupted;
  }

  /** Makes the bridge and `size` netdevs, each a veth end in the driver domain; the other ends are in one guest namespace. */
  static async make(domnet: Domnet, size: number, interrupted: AbortSignal): Promise<BenchDomain> {
    await domnet.addBridge(bridge);
    const guests = await domnet.guestNamespace(firstDomid);
    const lines = domids(size).map(
      (domid) =>
        `link add vif${domid}.0 address fe:ff:ff:ff:ff:ff type veth peer name eth${domid} netns ${guests}`,
    );
    await exec('ip', ['-n', domnet.namespace, '-batch', '-'], { input: lines.join('\n') });
    const ups = domids(size).map((domid) => `link set eth${domid} up`);
    await exec('ip', ['-n', guests, '-batch', '-'], { input: ups.join('\n') });
    return new BenchDomain(domnet, size, interrupted);
  }

  /** Attaches `count` vifs at once. @returns ms from the appearance of their keys to the last `connected` */
  async run(count: number, timeoutMs = 120_000): Promise<number> {
    const { xenstore } = this.domnet;
    const ids = domids(count);
    const seen = new Map<number, number[]>();
    const followed = ids.map(async (domid) => {
      const watch = await xenstore.watch(`backend/vif/${domid}/0/hotplug-status`);
      const times: number[] = [];
      seen.set(domid, times);
      const taken = (async () => {
        for await (const _event of watch) times.push(performance.now());
      })();
      return { watch, taken };
    });
    const watches = await Promise.all(followed);
    // xenstored fires a new watch once.
    await until('the watches', () => [...seen.values()].every(({ length }) => length === 1));

    await xenstore.writeMany(ids.flatMap(keys));
    const done = (): boolean => {
      this.#interrupted.throwIfAborted();
      return [...seen.values()].every(({ length }) => length >= 3);
    };
    await until('all to be connected', done, timeoutMs);
    const first = Math.min(...[...seen.values()].map((times) => times[1] as number));
    const last = Math.max(...[...seen.values()].map((times) => times[2] as number));
    for (const domid of ids) {
      const status = await xenstore.read(`backend/vif/${domid}/0/hotplug-status`);
      if (status !== 'connected') throw new Error(`vif${domid}.0 is "${status}"`);
    }
    for (const { watch, taken } of watches) {
      await watch.close();
      await taken;
    }
    return last - first;
  }

  /** Deletes all vifs' directories, as a forced detach in dom0 does, and resets the netdevs to netback's state. */
  async clear(): Promise<void> {
    const { xenstore } = this.domnet;
    await xenstore.commit([{ op: 'rm', path: 'backend' }]);
    const reset = domids(this.#size).map((domid) => `link set vif${domid}.0 nomaster down`);
    await exec('ip', ['-n', this.domnet.namespace, '-batch', '-'], { input: reset.join('\n') });
    // The agent's work for the vifs that went must not be in the time of the next run.
    await sleep(60);
  }
}

const domids = (count: number): number[] => Array.from({ length: count }, (_, i) => firstDomid + i);

/** The keys that libxl writes for a vif, with netback's state 2. */
function keys(domid: number): [path: string, value: string][] {
  const frontend = `/local/domain/${domid}/device/vif/0`;
  const backend = {
    frontend,
    'frontend-id': `${domid}`,
    online: '1',
    script: '/etc/xen/scripts/vif-bridge',
    mac: `00:16:3e:00:${(domid >> 8).toString(16).padStart(2, '0')}:${(domid & 255).toString(16).padStart(2, '0')}`,
    bridge,
    handle: '0',
    type: 'vif',
    'hotplug-status': '',
    state: '2',
  };
  return [
    [`${frontend}/backend`, `/local/domain/0/backend/vif/${domid}/0`],
    ...Object.entries(backend).map(([key, value]): [string, string] => [
      `backend/vif/${domid}/0/${key}`,
      value,
    ]),
  ];
}
