import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import type { Action } from '../model/action.js';
import type { ErrorCode } from '../model/error-codes.js';
import { type ObservedState, type Offload, type Traffic, vifOfLink } from '../model/observed.js';
import { ChangedMeanwhile, OperationError } from '../model/operation-error.js';
import { ovsDatabase } from '../model/ovs-port.js';
import type { DesiredScript } from '../model/script.js';
import { parseVifName, type VifId } from '../model/vif-id.js';
import { nameAction } from '../plan/print/print.js';
import type { HostPort } from '../reconcile/ports/ports.js';
import { type Drops, NftTables } from './netfilter/tables.js';
import { OpenVswitch } from './ovsdb/openvswitch.js';
import { type ScriptOptions, Scripts } from './process/scripts.js';
import { RoutingHost } from './routing.js';
import { Links } from './rtnetlink/links.js';

const execFileAsync = promisify(execFile);

/** Told the names of what came, changed or went (`*`: anything may have), and the vifs by name that it belongs to. */
export type HostListener = (names: readonly string[], owners: readonly string[]) => void;

export interface HostOptions {
  /** Where Open vSwitch's database is; without it nothing is known of Open vSwitch. */
  readonly openvswitch?: { readonly database: string };
  /** How operators' scripts are run; without it none can be. */
  readonly scripts?: ScriptOptions;
  readonly log?: Logger;
  /** Whether to run what serves the guests; who only looks does not. */
  readonly serves?: boolean;
}

/** The machine: what is on it, and the only way to change it. */
export class Host implements HostPort {
  readonly #links: Links;
  readonly #nft: NftTables;
  readonly #ip: RoutingHost;
  readonly #openvswitch: OpenVswitch | undefined;
  readonly #scripts: Scripts | undefined;
  /** What this daemon has set: asking for offloads costs a process each time. */
  readonly #offloads = new Map<number, Offload>();

  private constructor(
    links: Links,
    nft: NftTables,
    ip: RoutingHost,
    openvswitch: OpenVswitch | undefined,
    scripts: Scripts | undefined,
  ) {
    this.#links = links;
    this.#nft = nft;
    this.#ip = ip;
    this.#openvswitch = openvswitch;
    this.#scripts = scripts;
  }

  /** @param listener told of every change on the host, ours included */
  static async open(
    listener: HostListener,
    { openvswitch, scripts, log, serves = false }: HostOptions = {},
  ): Promise<Host> {
    const nft = await NftTables.open((vifs) => listener(vifs, vifs), { serves, log });
    const links = await Links.open(
      (names) => listener(names, []),
      (index) => nft.deviceGone(index),
    );
    const ip = new RoutingHost(links, { nft, serves, log });
    const database = openvswitch && new OpenVswitch(openvswitch.database, listener, log);
    await database?.begin();
    return new Host(links, nft, ip, database, scripts && new Scripts(scripts));
  }

  observe(): ObservedState {
    const openvswitch = this.#openvswitch;
    const scripts = this.#scripts?.runs;
    return {
      links: this.#links.view,
      nft: this.#nft.view,
      ip: this.#ip.observe(),
      offloads: this.#offloads,
      ...(openvswitch && { openvswitch }),
      ...(scripts && { scripts }),
    };
  }

  /** Waits until every change of the links that was under way has been observed. */
  whenQuiet(): Promise<void> {
    return this.#links.whenQuiet();
  }

  /** Reads again what is not announced, and has every vif looked at. */
  refresh(): Promise<void> {
    return this.#links.refresh();
  }

  /** The vifs that something on the host belongs to, known to xenstore or not. */
  vifsWithState(): VifId[] {
    const ofLinks = [...this.#links.view.all()].map(vifOfLink);
    const ofPorts = [...(this.#openvswitch?.ports() ?? [])].map(({ owner }) => parseVifName(owner ?? ''));
    const ofScripts = [...(this.#scripts?.runs.keys() ?? [])].map(parseVifName);
    const ofNft = [...this.#nft.view.owners()].map(parseVifName);
    return [...ofLinks, ...ofPorts, ...ofScripts, ...ofNft, ...this.#ip.vifsWithState()].filter(
      (id) => id !== undefined,
    );
  }

  /** What others have put into our tables of nf_tables, which is left as it is. */
  foreign(): string[] {
    return this.#nft.foreign();
  }

  /** The packets that each vif's filter dropped, by the vif's name and the reason. */
  drops(): Promise<ReadonlyMap<string, Drops>> {
    return this.#nft.drops();
  }

  /** Begins to look after what verdicts depend on, where that is not done all the time. */
  startWatching(dependsOn: readonly string[]): void {
    if (dependsOn.includes(ovsDatabase)) void this.#openvswitch?.start();
  }

  /** @throws OperationError when an operator's script may not be run */
  async checkScript({ file }: DesiredScript): Promise<void> {
    await this.#scripts?.trusted(file);
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
        case 'set-port':
          return await this.#links.setPort(action.index, action.flags);
        case 'add-vlans':
          return await this.#links.addVlans(action.index, action.vlans);
        case 'delete-vlans':
          return await this.#links.deleteVlans(action.index, action.vlans);
        case 'set-offload':
          return await this.#setOffload(action.index, action.name, action.offload);
        case 'run-script':
          return await this.#scripts?.start(action.id, action.script);
        case 'adopt-script':
          return this.#scripts?.adopt(action.id, action.script);
        case 'undo-script':
          return await this.#scripts?.undo(action.id);
        case 'nft':
          return await this.#nft.perform(action);
        default:
          return await this.#ip.perform(action);
      }
    } catch (error) {
      if (error instanceof OperationError || error instanceof ChangedMeanwhile) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperationError(codeOf(action), 'run', nameAction(action), reason, { waits: false });
    }
  }

  /** What a netdev has counted; undefined when it is gone. */
  traffic(name: string): Traffic | undefined {
    const read = (counter: string): number =>
      Number(readFileSync(`/sys/class/net/${name}/statistics/${counter}`, 'utf8'));
    try {
      return {
        rxBytes: read('rx_bytes'),
        rxPackets: read('rx_packets'),
        txBytes: read('tx_bytes'),
        txPackets: read('tx_packets'),
      };
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.#ip.close();
    this.#openvswitch?.close();
    this.#scripts?.close();
    this.#links.close();
    this.#nft.close();
  }

  /** By ethtool: seldom wanted, and its netlink family is a page of code. */
  async #setOffload(index: number, name: string, offload: Offload): Promise<void> {
    const settings = Object.entries(offload).flatMap(([feature, on]) => [feature, on ? 'on' : 'off']);
    await execFileAsync('ethtool', ['-K', name, ...settings]).catch(
      (error: { stderr?: string; message: string }) => {
        throw new Error(error.stderr?.trim().split('\n')[0] || error.message);
      },
    );
    // An index is used once in a network namespace's life, mostly; the table is as long as the list of devices.
    for (const known of this.#offloads.keys()) {
      if (this.#links.view.byIndex(known) === undefined) this.#offloads.delete(known);
    }
    this.#offloads.set(index, { ...this.#offloads.get(index), ...offload });
  }
}

/** What an error is called when an action fails. */
function codeOf({ kind }: Action): ErrorCode {
  switch (kind) {
    case 'nft':
      return 'filter-refused';
    case 'ovs-add-port':
    case 'ovs-set-port':
    case 'ovs-delete-port':
      return 'openvswitch-refused';
    case 'run-script':
    case 'adopt-script':
    case 'undo-script':
      return 'script-failed';
    case 'set-dhcp':
    case 'delete-dhcp':
      return 'dhcp-refused';
    default:
      return 'change-refused';
  }
}
