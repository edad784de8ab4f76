import type { Action } from '../../src/model/action.js';
import { type Network, parseNetwork } from '../../src/model/address.js';
import type { BridgePort } from '../../src/model/bridge-port.js';
import { type Link, linkView, type ObservedState, type Offload } from '../../src/model/observed.js';
import { ChangedMeanwhile } from '../../src/model/operation-error.js';
import type { ScriptRun } from '../../src/model/script.js';
import { vifName } from '../../src/model/vif-id.js';
import { newPort } from '../../src/plan/bridge-port.js';
import { IpMachine, type PlainIp } from './ip-machine.js';
import { link } from './link.js';
import { type PlainSets, SetMachine } from './named-sets.js';
import { NftMachine } from './nft-machine.js';
import { OvsMachine, type PlainOvs } from './openvswitch-machine.js';

/** The initial state of a machine. */
export interface MachineState {
  readonly links: readonly Link[];
  readonly openvswitch: PlainOvs | undefined;
  readonly ip: PlainIp;
  readonly scripts: ReadonlyMap<string, ScriptRun>;
  /** An administrator's sets in nf_tables; absent for none. */
  readonly sets?: PlainSets;
}

/** A netdev in the terms of `ip link`; a field that is not given is as netback makes it. */
export type PlainLink = Partial<Omit<Link, 'master' | 'addresses'>> & {
  readonly name: string;
  /** The name of its master. */
  readonly master?: string;
  readonly addresses?: readonly string[];
};

/** The netdevs, with indexes from 1 up where none is given. */
export function plainLinks(links: readonly PlainLink[]): Link[] {
  const indexOf = (name: string): number => {
    const at = links.findIndex((link) => link.name === name);
    if (at < 0) throw new Error(`there is no master ${name}`);
    return links[at]?.index ?? at + 1;
  };
  return links.map(({ master, addresses = [], name, ...more }, at) =>
    link(more.index ?? at + 1, name, {
      // A bridge that is down passes nothing.
      up: more.kind === 'bridge',
      ...more,
      master: master === undefined ? undefined : indexOf(master),
      addresses: addresses.map((text): Network => {
        const network = parseNetwork(text);
        if (network === undefined) throw new Error(`${text} is no address`);
        return network;
      }),
    }),
  );
}

/** A machine in memory that performs plans, as far as plans depend on it: the kernel in the tests of pure code. */
export class Machine {
  links: Link[];
  readonly openvswitch: OvsMachine | undefined;
  readonly scripts: Map<string, ScriptRun>;
  readonly offloads = new Map<number, Offload>();
  /** The largest MTU that a netdev's driver takes, by its name. */
  readonly mtuLimits = new Map<string, number>();
  readonly nft: NftMachine;
  readonly ip: IpMachine;
  readonly namedSets: SetMachine;

  constructor({ links, openvswitch, scripts, ip, sets = {} }: MachineState) {
    this.namedSets = new SetMachine(sets);
    this.links = [...links];
    this.nft = new NftMachine(ip.masquerades, ip.elements);
    this.ip = new IpMachine(ip, links, this.nft);
    this.openvswitch = openvswitch && new OvsMachine(openvswitch);
    this.scripts = new Map(scripts);
  }

  observe(): ObservedState {
    const { openvswitch, scripts, offloads, nft, ip, namedSets } = this;
    return {
      links: linkView(this.links),
      scripts,
      offloads,
      nft,
      ip,
      namedSets,
      ...(openvswitch && { openvswitch }),
    };
  }

  /** @throws when the kernel would refuse it */
  perform(action: Action): void {
    switch (action.kind) {
      case 'set-link': {
        const { master, name, arp, ...changes } = action.changes;
        this.#checkMtu(action.index, action.name, changes);
        if (changes.up === false) this.ip.down(action.index);
        if (arp) this.ip.forgetNeighbours(action.index);
        if (name !== undefined && this.links.some((link) => link.name === name)) {
          throw new Error(`the name ${name} is taken`);
        }
        this.#change(action.index, (link) => {
          // The kernel refuses both for a running interface; within one message it applies address, name, flags.
          if (link.up && (name !== undefined || changes.mac !== undefined)) throw new Error('it is up');
          return {
            ...link,
            // A device that is down has no IPv6 addresses.
            ...(changes.up === false && { addresses: link.addresses.filter(({ family }) => family === 4) }),
            ...changes,
            ...(arp && { arp: undefined }),
            ...(name === undefined ? {} : { name }),
            ...(master === undefined ? {} : this.#enslave(master.index)),
          };
        });
        return;
      }
      // Its MTU is the same afterwards, and a bridge in memory does not follow its ports.
      case 'pin-mtu':
        return;
      case 'ovs-add-port':
      case 'ovs-set-port':
      case 'ovs-pin-mtu':
      case 'ovs-delete-port':
      case 'ovs-delete-note':
        this.openvswitch?.perform(action);
        return;
      case 'set-port':
        this.#changePort(action.index, (port) => ({ ...port, ...action.flags }));
        return;
      case 'delete-vlans': {
        const gone = new Set(action.vlans.map(({ vid }) => vid));
        this.#changePort(action.index, (port) => ({
          ...port,
          vlans: port.vlans.filter(({ vid }) => !gone.has(vid)),
        }));
        return;
      }
      case 'add-vlans': {
        const given = new Set(action.vlans.map(({ vid }) => vid));
        const newPvid = action.vlans.some(({ pvid }) => pvid);
        this.#changePort(action.index, (port) => {
          const kept = port.vlans.filter(({ vid }) => !given.has(vid));
          // A port has one PVID, the last one given.
          const others = kept.map((vlan) => (newPvid ? { ...vlan, pvid: false } : vlan));
          return { ...port, vlans: [...others, ...action.vlans].sort((a, b) => a.vid - b.vid) };
        });
        return;
      }
      case 'set-offload':
        this.offloads.set(action.index, { ...this.offloads.get(action.index), ...action.offload });
        return;
      case 'nft':
        this.nft.perform(action);
        for (const sysctl of action.closes ?? []) this.ip.perform({ kind: 'set-sysctl', sysctl });
        return;
      case 'add-to-set':
      case 'delete-from-set':
        this.namedSets.perform(action);
        return;
      case 'run-script':
      case 'adopt-script':
        this.scripts.set(vifName(action.id), {
          ...action.script,
          state: action.kind === 'run-script' ? 'running' : 'online',
        });
        return;
      case 'undo-script':
        this.scripts.delete(vifName(action.id));
        return;
      case 'delete-address':
        this.#change(action.index, (link) => ({
          ...link,
          addresses: link.addresses.filter(({ address }) => address !== action.address.address),
        }));
        return;
      case 'add-address':
        this.#change(action.index, (link) => ({ ...link, addresses: [...link.addresses, action.address] }));
        return;
      default:
        this.ip.perform(action);
    }
  }

  /** The kernel applies the address before the MTU, and nothing of what is behind that. */
  #checkMtu(index: number, name: string, { mac, mtu }: { mac?: string; mtu?: number }): void {
    if (mtu === undefined || mtu <= (this.mtuLimits.get(name) ?? mtu)) return;
    const mtuRefused = { mtu, stands: true };
    this.#change(index, (link) => ({ ...link, ...(mac === undefined ? {} : { mac }), mtuRefused }));
    throw new ChangedMeanwhile(`the MTU that ${name} takes`);
  }

  /** Has the MTUs that were refused asked for again. */
  askMtuAgain(asked: (link: Link) => boolean): void {
    this.links = this.links.map((link) =>
      link.mtuRefused && asked(link) ? { ...link, mtuRefused: { ...link.mtuRefused, stands: false } } : link,
    );
  }

  #enslave(index: number): Partial<Link> {
    const bridge = this.links.find((link) => link.index === index);
    return bridge === undefined
      ? { master: undefined, port: undefined }
      : { master: index, port: newPort(bridge.vlanDefaultPvid) };
  }

  #changePort(index: number, change: (port: BridgePort) => BridgePort): void {
    this.#change(index, (link) => {
      const bridge = this.links.find(({ index }) => index === link.master);
      if (bridge === undefined) throw new Error('it is no bridge port');
      return { ...link, port: change(link.port ?? newPort(bridge.vlanDefaultPvid)) };
    });
  }

  #change(index: number, change: (link: Link) => Link): void {
    const at = this.links.findIndex((link) => link.index === index);
    const link = this.links[at];
    if (link === undefined) throw new Error(`there is no interface ${index}`);
    this.links[at] = change(link);
  }
}
