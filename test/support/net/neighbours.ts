import { expect } from 'vitest';
import type { Ping } from '../process/background.js';
import type { Domnet, LogLine, Vif, Vifd, VifSpec } from './domnet.js';
import { addressOf, guest, type Kind, pingFrom } from './guests.js';
import { hostState } from './host-state.js';
import type { OpenVswitch } from './openvswitch.js';
import { answers, Monitor } from './ping.js';

/** Domids that no test uses for its own guests. */
const domids = [201, 202] as const;

/** Two guests beside the one under test, which ping each other all the time and must not be affected by it. */
export class Neighbours {
  readonly vifs: readonly Vif[];
  readonly #kind: Kind;
  readonly #ping: Ping;
  readonly #monitor: Monitor;
  readonly #before: unknown;
  readonly #ovs: OpenVswitch | undefined;
  readonly #since: Map<Vifd, number>;

  private constructor(parts: {
    vifs: readonly Vif[];
    kind: Kind;
    ping: Ping;
    monitor: Monitor;
    before: unknown;
    ovs: OpenVswitch | undefined;
    daemon: Vifd;
  }) {
    this.vifs = parts.vifs;
    this.#kind = parts.kind;
    this.#ping = parts.ping;
    this.#monitor = parts.monitor;
    this.#before = parts.before;
    this.#ovs = parts.ovs;
    this.#since = new Map([[parts.daemon, parts.daemon.log.length]]);
  }

  /** @param keys of both, over those of their kind */
  static async of(
    daemon: Vifd,
    domnet: Domnet,
    kind: Kind,
    options: { keys?: VifSpec['keys']; ovs?: OpenVswitch } = {},
  ): Promise<Neighbours> {
    const { keys, ovs } = options;
    const vifs = await Promise.all(domids.map((domid) => guest(domnet, kind, domid, keys)));
    const [one, two] = vifs as [Vif, Vif];
    for (const vif of vifs) await daemon.logged('vif attached', vif.name);
    const ping = await pingFrom(one, addressOf(kind, two));
    const monitor = await Monitor.start(domnet, ['link', 'address', 'route']);
    const before = await stateOf(kind, vifs, ovs);
    return new Neighbours({ vifs, kind, ping, monitor, before, ovs, daemon });
  }

  /**
   * Ends the ping and expects that none was lost, that none of their state changed even for a moment, and that no daemon
   * logged anything about them.
   * @param later daemons that were started since; they may log that they adopted the two
   */
  async untouched(...later: Vifd[]): Promise<void> {
    await answers(this.#ping, 3);
    expect((await this.#ping.stop()).lost, 'packets lost between the neighbours').toBe(0);
    expect(await this.#monitor.changesOf(...this.vifs), 'changes of the neighbours').toEqual([]);
    expect(await stateOf(this.#kind, this.vifs, this.#ovs)).toEqual(this.#before);
    for (const daemon of [...this.#since.keys(), ...later]) {
      const lines = daemon.log.slice(this.#since.get(daemon) ?? 0);
      expect(
        lines.filter((line) => this.#isAbout(line)),
        'log lines about the neighbours',
      ).toEqual([]);
    }
  }

  #isAbout({ vif, msg, actions }: LogLine): boolean {
    const silent = msg === 'reconciling vif' || (msg === 'vif adopted' && actions === undefined);
    return this.vifs.some(({ name }) => name === vif) && !silent;
  }
}

/** The state of these vifs on the host and in xenstore. */
async function stateOf(kind: Kind, vifs: readonly Vif[], ovs: OpenVswitch | undefined): Promise<unknown> {
  return Promise.all(
    vifs.map(async (vif) => {
      const all = await hostState(vif.domnet, vif, vif.name, ovs);
      const address = addressOf(kind, vif);
      const theirs = [...all].filter(
        ([name]) =>
          name.split(/[ /]/).includes('VIF') ||
          /^xenstore (backend|frontend) /.test(name) ||
          name.includes(` ${address} `),
      );
      return [
        vif.name,
        Object.fromEntries(theirs.map(([name, values]) => [name, Object.fromEntries(values)])),
      ];
    }),
  );
}
