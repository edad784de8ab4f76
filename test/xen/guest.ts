import { rig } from './rig.js';
import type { XenHost } from './xen-host.js';

/** Options of `XenHost.guest`. A vif is given as in xl.cfg, without the keys that every vif has (bridge and backend). */
export interface GuestOptions {
  readonly vifs?: readonly string[];
  readonly memory?: number;
  readonly type?: 'pv' | 'pvh';
  /** Whether it is created but never run, so that its frontends stay as xl makes them. */
  readonly paused?: boolean;
  /** Which of `image/root/systems` it runs, in place of a shell alone, and what else its kernel is told. */
  readonly system?: string;
}

/** A guest, with checks of its vifs from dom0, domnet and the guest. */
export class Guest {
  readonly #host: XenHost;
  readonly #number: number;
  readonly name: string;
  domid = 0;

  constructor(host: XenHost, number: number) {
    this.#host = host;
    this.#number = number;
    this.name = `g${number}`;
  }

  /** The address that `netfront` gives to the interface of vif `devid`. */
  address(devid: number): string {
    return `10.9.${devid}.${10 + this.#number}`;
  }

  /** Reads the guest's domid again, which a reboot, a restore or a migration changes. */
  async findDomid(): Promise<void> {
    this.domid = Number(await this.#host.dom0(`xl domid ${this.name}`));
  }

  /** Runs a command line in the guest's shell, through its console. The first call waits until the guest has booted. */
  run(command: string): Promise<string> {
    return rig(['guest', `${this.domid}`, command]);
  }

  backend(devid: number): string {
    return `/local/domain/${this.#host.domnetId}/backend/vif/${this.domid}/${devid}`;
  }

  frontend(devid: number): string {
    return `/local/domain/${this.domid}/device/vif/${devid}`;
  }

  netdev(devid: number): string {
    return `vif${this.domid}.${devid}`;
  }

  status(devid: number): string | undefined {
    return this.#host.store.get(`${this.backend(devid)}/hotplug-status`);
  }

  /** Waits until backend and frontend are connected in xenstore. */
  async connected(devids: readonly number[] = [0], timeoutMs = 60_000): Promise<void> {
    const { store } = this.#host;
    const missing = () =>
      devids.filter((n) => this.status(n) !== 'connected' || store.get(`${this.backend(n)}/state`) !== '4');
    await this.#host
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
   * Expects that the vifs work: xl in dom0 lists them as connected, in domnet the netdev is an active port of the bridge,
   * and from the guest every interface reaches the bridge.
   * @param at.master the bridge; `null` when the netdev must not be a port
   * @param at.peer the address that must answer the guest
   */
  async works(
    devids: readonly number[] = [0],
    at: { master?: string | null; netdev?: string; peer?: string } = {},
  ): Promise<void> {
    await this.connected(devids);
    const [listed, links] = await Promise.all([
      this.#host.dom0(`xl network-list ${this.name}`),
      this.#host.domnet('ip -o link show'),
      this.reaches(devids, at),
    ]);
    for (const n of devids) {
      if (!new RegExp(`^${n}\\s+${this.#host.domnetId}\\s.*\\s4\\s`, 'm').test(listed)) {
        throw new Error(`xl network-list does not have vif ${n} connected:\n${listed}`);
      }
      const name = at.netdev ?? this.netdev(n);
      const link = links.split('\n').find((line) => line.includes(` ${name}: `)) ?? `no netdev ${name}`;
      const master = / master (\S+)/.exec(link)?.[1] ?? null;
      const wanted = at.master === undefined ? 'xenbr0' : at.master;
      if (!/<.*\bUP,LOWER_UP>/.test(link) || master !== wanted) throw new Error(link);
    }
  }

  /** Expects that `peer`, by default the bridge, answers the guest. */
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

  /** Expects that nothing of a vif is left in xenstore and in domnet. */
  async gone(devids: readonly number[] = [0], timeoutMs = 20_000): Promise<void> {
    const { store } = this.#host;
    for (const n of devids) {
      const left = () => [...store.under(this.backend(n)), ...store.under(this.frontend(n))];
      await this.#host
        .until(this.netdev(n), () => left().length === 0, timeoutMs)
        .catch(() => Promise.reject(new Error(`still in xenstore: ${left().slice(0, 3).join(', ')}`)));
    }
    const links = await this.#host.domnet('ip -o link show');
    const left = devids.filter((n) => links.includes(` ${this.netdev(n)}: `));
    if (left.length > 0) throw new Error(`the netdevs of ${left.join(', ')} are still there`);
  }

  /** Pings every 50 ms until the returned function is called, which fails when an answer is missing. */
  async traffic(peer = '10.9.0.1'): Promise<() => Promise<string>> {
    await this.run(`pings ${peer} >/traffic 2>&1 & echo $! >/traffic.pid; sleep 1`);
    return async () => {
      const said = await this.run('kill $(cat /traffic.pid); wait $(cat /traffic.pid); cat /traffic');
      const [, sent] = /(\d+) pings/.exec(said) ?? [];
      if (said.includes('lost') || !(Number(sent) > 20)) throw new Error(said.trim());
      return `none of ${sent} pings lost`;
    };
  }
}
