import { setTimeout as sleep } from 'node:timers/promises';
import type { Watch } from 'node-xenstore';
import type { Domnet } from '../support/net/domnet.js';
import { exec, until } from '../support/process/exec.js';

/** What a vif asks for: its stock script, and its addresses. */
export const shapes = {
  plain: { script: 'vif-bridge', ip: () => undefined },
  ipv4: { script: 'vif-bridge', ip: (domid: number) => v4(domid) },
  both: { script: 'vif-bridge', ip: (domid: number) => `${v4(domid)} ${v6(domid)}` },
  route: { script: 'vif-route', ip: (domid: number) => v4(domid) },
  nat: { script: 'vif-nat', ip: () => undefined },
} as const;
export type Shape = keyof typeof shapes;

const v4 = (domid: number): string => `172.20.${domid >> 8}.${domid & 255}`;
const v6 = (domid: number): string => `2001:db8::${domid.toString(16)}`;

/** The vifs that are measured; those that stand beside them begin at `beside`, on bridges of their own. */
const first = 10;
const beside = 1000;
/** Where routed vifs lead. */
const uplink = 'uplink';
/** A bridge takes 1,023 ports. */
const portsOfBridge = 500;

/**
 * A driver domain for benchmarks, the same for all agents. Netdevs exist, down, as netback makes them, before the keys of the
 * vifs that are measured appear in one transaction. Both ends of the time that is measured are events of one watch in this
 * process, so that neither the writing nor the reading is part of it.
 */
export class Scene {
  readonly domnet: Domnet;
  readonly #guests: string;
  readonly #watch: Watch;
  readonly #interrupted: AbortSignal;
  /** Called with the domid and the key of each event. */
  #follow: (domid: number, key: string) => void = () => undefined;
  #beside: number[] = [];

  private constructor(domnet: Domnet, guests: string, watch: Watch, interrupted: AbortSignal) {
    this.domnet = domnet;
    this.#guests = guests;
    this.#watch = watch;
    this.#interrupted = interrupted;
    void this.#read();
  }

  static async make(domnet: Domnet, interrupted: AbortSignal): Promise<Scene> {
    for (const bridge of ['xenbr0', 'xenbr1', 'xenbr2', uplink]) await domnet.addBridge(bridge);
    await domnet.ip(`address add 192.0.2.2/24 dev ${uplink}`);
    await domnet.ip('route add default via 192.0.2.1');
    const watch = await domnet.xenstore.watch('backend/vif');
    return new Scene(domnet, await domnet.guestNamespace(first), watch, interrupted);
  }

  async #read(): Promise<void> {
    for await (const { path } of this.#watch) {
      const [, , domid, , key] = path.split('/');
      if (key !== undefined) this.#follow(Number(domid), key);
    }
  }

  /**
   * Ms from the appearance of the keys of `count` vifs to the last `connected`; they are taken away again.
   * @param look called before that, with both moments in ms since 1970
   */
  async time(
    shape: Shape,
    count = 1,
    look: (moments: { from: number; to: number }) => Promise<void> = async () => undefined,
  ): Promise<number> {
    const domids = range(first, count);
    await this.#netdevs(domids);
    let from: number | undefined;
    let to = 0;
    const left = new Map(domids.map((domid) => [domid, 2]));
    this.#follow = (domid, key) => {
      if (!left.has(domid)) return;
      from ??= performance.now();
      if (key !== 'hotplug-status') return;
      to = performance.now();
      const more = (left.get(domid) ?? 0) - 1;
      if (more > 0) left.set(domid, more);
      else left.delete(domid);
    };
    await this.#write(domids, shape, 'xenbr0');
    await this.#until(`${count} ${shape} to be connected`, () => left.size === 0);
    this.#follow = () => undefined;
    await this.#check(domids);
    const { timeOrigin } = performance;
    await look({ from: timeOrigin + (from ?? 0), to: timeOrigin + to });
    await this.remove(count);
    return to - (from ?? to);
  }

  /** Attaches so many vifs beside those that are measured; the agent that runs does that. */
  async surround(shape: Shape, count: number): Promise<void> {
    const domids = range(beside + this.#beside.length, count);
    this.#beside.push(...domids);
    await this.#netdevs(domids);
    for (let at = 0; at < count; at += portsOfBridge)
      await this.#write(domids.slice(at, at + portsOfBridge), shape, `xenbr${1 + at / portsOfBridge}`);
    const waiting = new Set(domids);
    await this.#until(`${count} ${shape} to stand beside`, async () => {
      for (const domid of waiting) {
        if ((await this.#status(domid)) !== 'connected') return false;
        waiting.delete(domid);
      }
      return true;
    });
  }

  /** Takes away what `surround` has made. */
  async alone(): Promise<void> {
    await this.#remove(this.#beside.splice(0));
  }

  /** Takes the first `count` of the measured vifs away, as a forced detach in dom0 does. */
  async remove(count: number): Promise<void> {
    await this.#remove(range(first, count));
    // The agent's work for the vifs that went must not be in the time of the next run.
    await sleep(60);
  }

  async #remove(domids: readonly number[]): Promise<void> {
    const { xenstore, namespace } = this.domnet;
    if (domids.length === 0) return;
    await xenstore.commit(domids.map((domid) => ({ op: 'rm', path: `backend/vif/${domid}` })));
    const lines = domids.map((domid) => `link delete vif${domid}.0\n`);
    await exec('ip', ['-n', namespace, '-batch', '-'], { input: lines.join('') });
  }

  /** Makes netdevs, each a veth end in the driver domain; the other ends are up, in one guest namespace. */
  async #netdevs(domids: readonly number[]): Promise<void> {
    const made = domids.map(
      (domid) =>
        `link add vif${domid}.0 address fe:ff:ff:ff:ff:ff type veth peer name eth${domid} netns ${this.#guests}\n`,
    );
    await exec('ip', ['-n', this.domnet.namespace, '-batch', '-'], { input: made.join('') });
    const ups = domids.map((domid) => `link set eth${domid} up\n`);
    await exec('ip', ['-n', this.#guests, '-batch', '-'], { input: ups.join('') });
  }

  async #write(domids: readonly number[], shape: Shape, bridge: string): Promise<void> {
    await this.domnet.xenstore.writeMany(domids.flatMap((domid) => keys(domid, shape, bridge)));
  }

  #status(domid: number): Promise<string> {
    return this.domnet.xenstore.read(`backend/vif/${domid}/0/hotplug-status`);
  }

  async #check(domids: readonly number[]): Promise<void> {
    for (const domid of domids) {
      const status = await this.#status(domid);
      if (status === 'connected') continue;
      const error = await this.domnet.xenstore.read(`backend/vif/${domid}/0/hotplug-error`).catch(() => '');
      throw new Error(`vif${domid}.0 is "${status}": ${error}`);
    }
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await until(
      what,
      () => {
        this.#interrupted.throwIfAborted();
        return condition();
      },
      120_000,
    );
  }
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** The keys that libxl writes for a vif, with netback's state 2. */
function keys(domid: number, shape: Shape, bridge: string): [path: string, value: string][] {
  const frontend = `/local/domain/${domid}/device/vif/0`;
  const { script, ip } = shapes[shape];
  const address = ip(domid);
  const backend = {
    frontend,
    'frontend-id': `${domid}`,
    online: '1',
    script: `/etc/xen/scripts/${script}`,
    mac: `00:16:3e:00:${(domid >> 8).toString(16).padStart(2, '0')}:${(domid & 255).toString(16).padStart(2, '0')}`,
    bridge,
    handle: '0',
    type: 'vif',
    ...(address !== undefined && { ip: address }),
    ...(shape === 'route' && { gatewaydev: uplink }),
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
