import type { Domnet } from '../support/net/domnet.js';
import { OpenVswitch } from '../support/net/openvswitch.js';
import { until } from '../support/process/exec.js';
import { settled } from './batch.js';
import type { Networks } from './networks.js';
import type { WalkedDaemon } from './walked-daemon.js';

/** The Open vSwitch of a walk, whose parts end and start again in it. */
export class WalkedSwitch {
  readonly ovs: OpenVswitch;
  readonly #domnet: Domnet;

  private constructor(domnet: Domnet, ovs: OpenVswitch) {
    this.#domnet = domnet;
    this.ovs = ovs;
  }

  /** Starts it, with a bridge whose ports are {@link Networks.makeSwitchPorts}'s. */
  static async start(domnet: Domnet, networks: Networks): Promise<WalkedSwitch> {
    const ovs = new OpenVswitch(domnet);
    await ovs.start();
    await ovs.addBridge('ovsbr0');
    await networks.makeSwitchPorts();
    await ovs.vsctl('add-port ovsbr0 povs');
    await ovs.vsctl('add-port ovsbr0 povs10 tag=10');
    return new WalkedSwitch(domnet, ovs);
  }

  /** Starts or kills its database. @param runs whether ovs-vswitchd runs */
  async setServer(run: boolean, runs: boolean, daemon: WalkedDaemon): Promise<void> {
    if (!run) {
      this.ovs.signalServer('SIGKILL');
      return await this.ovs.stopServer();
    }
    await this.ovs.startServer();
    // ovs-vswitchd looks for its database every 1 to 8 s; ovs-vsctl waits until it has done what it was told.
    if (runs) await until('ovs-vswitchd', () => this.#done().then(...settled), 12_000);
    await daemon.databaseReached();
  }

  /** Starts or stops ovs-vswitchd. @param runs whether its database runs */
  async setSwitch(run: boolean, runs: boolean, daemon: WalkedDaemon): Promise<void> {
    if (!run) return await this.ovs.stopSwitch();
    await this.ovs.startSwitch();
    if (runs && !(await this.#done().then(...settled))) await this.#restart(daemon);
  }

  /** Resolves when ovs-vswitchd has made its configuration what the database says: ovs-vsctl waits for that. */
  async #done(): Promise<void> {
    for (const change of [
      'set open_vswitch . external_ids:walk=1',
      'remove open_vswitch . external_ids walk',
    ]) {
      const options = [`--db=${this.ovs.database}`, '--timeout=3'];
      await this.#domnet.exec('ovs-vsctl', [...options, ...change.split(' ')]);
    }
  }

  /**
   * Starts all of Open vSwitch again. Now and then ovsdb-server 3.1 goes on keeping the lock of an ovs-vswitchd that has
   * ended, and the next one waits for ever ("another ovs-vswitchd process is running").
   */
  async #restart(daemon: WalkedDaemon): Promise<void> {
    await this.ovs.stopSwitch();
    this.ovs.signalServer('SIGKILL');
    await this.ovs.stopServer();
    await this.ovs.startServer();
    await this.ovs.startSwitch();
    await until('ovs-vswitchd', () => this.#done().then(...settled), 12_000);
    await daemon.databaseReached();
  }
}
