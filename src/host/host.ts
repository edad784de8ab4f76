import type { Logger } from 'pino';
import type { Config } from '../config.js';
import { parseVifName, type VifId } from '../vif/id.js';
import { type ObservedState, vifOfLink } from '../vif/observed.js';
import { ovsDatabase } from '../vif/openvswitch.js';
import type { Action } from '../vif/plan.js';
import { printAction } from '../vif/print.js';
import { OperationError } from '../vif/problem.js';
import { Links } from './links.js';
import { OpenVswitch } from './openvswitch.js';

/** Told the names of what came, changed or went (`*`: anything may have), and the vifs by name that it belongs to. */
export type HostListener = (names: readonly string[], owners: readonly string[]) => void;

export interface HostOptions {
  /** Where Open vSwitch's database is; without it nothing is known of Open vSwitch. */
  readonly openvswitch?: Config['openvswitch'];
  readonly log?: Logger;
}

/** The machine: what is on it, and the only way to change it. */
export class Host {
  readonly #links: Links;
  readonly #openvswitch: OpenVswitch | undefined;

  private constructor(links: Links, openvswitch: OpenVswitch | undefined) {
    this.#links = links;
    this.#openvswitch = openvswitch;
  }

  /** @param listener told of every change on the host, ours included */
  static async open(listener: HostListener, { openvswitch, log }: HostOptions = {}): Promise<Host> {
    const links = await Links.open((names) => listener(names, []));
    const database = openvswitch && new OpenVswitch(openvswitch.database, listener, log);
    await database?.begin();
    return new Host(links, database);
  }

  observe(): ObservedState {
    const openvswitch = this.#openvswitch;
    return { links: this.#links.view, ...(openvswitch && { openvswitch }) };
  }

  /** The vifs that something on the host belongs to, known to xenstore or not. */
  owned(): VifId[] {
    const ofLinks = [...this.#links.view.all()].map(vifOfLink);
    const ofPorts = [...(this.#openvswitch?.ports() ?? [])].map(({ owner }) => parseVifName(owner ?? ''));
    return [...ofLinks, ...ofPorts].filter((id) => id !== undefined);
  }

  /** Begins to look after what verdicts depend on, where that is not done all the time. */
  attend(dependsOn: readonly string[]): void {
    if (dependsOn.includes(ovsDatabase)) void this.#openvswitch?.start();
  }

  /** Performs one action. @throws OperationError */
  async perform(action: Action): Promise<void> {
    try {
      switch (action.kind) {
        case 'set-link':
          return await this.#links.setLink(action.index, action.changes);
        case 'ovs-add-port':
        case 'ovs-set-port':
        case 'ovs-delete-port':
          return await this.#openvswitch?.perform(action);
        case 'delete-address':
          return await this.#links.deleteAddress(action.index, action.address);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperationError('run', printAction(action), reason, { waits: false });
    }
  }

  close(): void {
    this.#openvswitch?.close();
    this.#links.close();
  }
}
