import { rig } from './rig.js';
import type { World } from './xen-host.js';

/** What `XenHost.guest` takes. A vif is written as in xl.cfg, without the keys every vif here has (bridge and backend). */
export interface GuestOptions {
  readonly vifs?: readonly string[];
  readonly memory?: number;
  readonly type?: 'pv' | 'pvh';
  /** Built, never run: its front ends stay as xl makes them. */
  readonly paused?: boolean;
}

/** A guest, and where its vifs are seen from the three sides. */
export class Guest {
  readonly #world: World;
  readonly #number: number;
  readonly name: string;
  domid = 0;

  constructor(host: World, number: number) {
    this.#world = host;
    this.#number = number;
    this.name = `g${number}`;
  }

  /** What `netfront` gives to the interface of vif `devid`. */
  address(devid: number): string {
    return `10.9.${devid}.${10 + this.#number}`;
  }

  /** Reboot, restore and migration give the guest another id. */
  async findDomid(): Promise<void> {
    this.domid = Number(await this.#world.dom0(`xl domid ${this.name}`));
  }

  /** A command line in the guest's shell, through its console. The first one waits for the guest to have booted. */
  run(command: string): Promise<string> {
    return rig(['guest', `${this.domid}`, command]);
  }

  backend(devid: number): string {
    return `/local/domain/${this.#world.domnetId}/backend/vif/${this.domid}/${devid}`;
  }

  frontend(devid: number): string {
    return `/local/domain/${this.domid}/device/vif/${devid}`;
  }

  netdev(devid: number): string {
    return `vif${this.domid}.${devid}`;
  }

  status(devid: number): string | undefined {
    return this.#world.store.get(`${this.backend(devid)}/hotplug-status`);
  }

  /** Both ends are connected, as far as xenstore tells. */
  async connected(devids: readonly number[] = [0], timeoutMs = 60_000): Promise<void> {
    const { store } = this.#world;
    const missing = () =>
      devids.filter((n) => this.status(n) !== 'connected' || store.get(`${this.backend(n)}/state`) !== '4');
    await this.#world
      .until(this.name, () => missing().length === 0, timeoutMs)
      .catch(() => {
        const states = missing().map(
          (n) =>
            `${this.netdev(n)} (state ${store.get(`${this.backend(n)}/state`) ?? 'none'}, hotplug-status "${this.status(n) ?? ''}")`,
        );
        throw new Error(`not connected after ${timeoutMs / 1000} s: ${states.join(', ')}`);
      });
  }

  /**
   * The vifs work, from all three sides: xl in dom0 says so, in domnet the netdev is an active port of the bridge, and
   * from the guest every interface reaches it.
   * @param at.master `null` when the netdev is to be no port
   * @param at.peer who is to answer the guest
   */
  async works(
    devids: readonly number[] = [0],
    at: { master?: string | null; netdev?: string; peer?: string } = {},
  ): Promise<void> {
    await this.connected(devids);
    const [listed, links] = await Promise.all([
      this.#world.dom0(`xl network-list ${this.name}`),
      this.#world.domnet('ip -o link show'),
      this.reaches(devids, at),
    ]);
    for (const n of devids) {
      if (!new RegExp(`^${n}\\s+${this.#world.domnetId}\\s.*\\s4\\s`, 'm').test(listed)) {
        throw new Error(`xl network-list does not have vif ${n} connected:\n${listed}`);
      }
      const name = at.netdev ?? this.netdev(n);
      const link = links.split('\n').find((line) => line.includes(` ${name}: `)) ?? `no netdev ${name}`;
      const master = / master (\S+)/.exec(link)?.[1] ?? null;
      const wanted = at.master === undefined ? 'xenbr0' : at.master;
      if (!/<.*\bUP,LOWER_UP>/.test(link) || master !== wanted) throw new Error(link);
    }
  }

  /** Packets go from the guest to `peer`, by default the bridge, and back. */
  async reaches(
    devids: readonly number[] = [0],
    { peer, size = 56 }: { peer?: string; size?: number } = {},
  ): Promise<void> {
    const pings = devids.map(
      (n) =>
        `{ ping -q -c 2 -i 0.2 -W 3 -s ${size} -I eth${n} ${peer ?? `10.9.${n}.1`} || echo eth${n} FAILS; }`,
    );
    const said = await this.run(`netfront; ${pings.join('; ')}`);
    if (/FAILS|100% packet loss/.test(said))
      throw new Error(`no packets: ${said.trim().split('\n').slice(-6).join(' | ')}`);
  }

  /** Nothing is left of a vif: not in xenstore, not in domnet. */
  async gone(devids: readonly number[] = [0], timeoutMs = 20_000): Promise<void> {
    const { store } = this.#world;
    for (const n of devids) {
      const left = () => [...store.under(this.backend(n)), ...store.under(this.frontend(n))];
      await this.#world
        .until(this.netdev(n), () => left().length === 0, timeoutMs)
        .catch(() => Promise.reject(new Error(`still in xenstore: ${left().slice(0, 3).join(', ')}`)));
    }
    const links = await this.#world.domnet('ip -o link show');
    const left = devids.filter((n) => links.includes(` ${this.netdev(n)}: `));
    if (left.length > 0) throw new Error(`the netdevs of ${left.join(', ')} are still there`);
  }

  /** Pings all the time, every 50 ms, until the returned function is called: it fails when an answer is missing. */
  async traffic(): Promise<() => Promise<string>> {
    await this.run('pings 10.9.0.1 >/traffic 2>&1 & echo $! >/traffic.pid; sleep 1');
    return async () => {
      const said = await this.run('kill $(cat /traffic.pid); wait $(cat /traffic.pid); cat /traffic');
      const [, sent] = /(\d+) pings/.exec(said) ?? [];
      if (said.includes('lost') || !(Number(sent) > 20)) throw new Error(said.trim());
      return `none of ${sent} pings lost`;
    };
  }
}
