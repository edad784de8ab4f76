import type { OvsAction } from '../../src/model/action.js';
import type { OvsBridge, OvsInterface, OvsPort, OvsView } from '../../src/model/ovs-port.js';
import { markKeys } from '../../src/model/ovs-port.js';

/**
 * `openvswitch` in a case's `observed.json`. By default a port is untagged, without an owner, and taken up by
 * ovs-vswitchd; `"takes": false` is an ovs-vswitchd that does not run.
 */
export interface PlainOvs {
  state: OvsView['state'];
  takes?: boolean;
  switchRuns?: boolean;
  bridges?: ({ name: string } & Partial<OvsBridge>)[];
  ports?: ({ name: string; bridge: string; interface?: Partial<OvsInterface> } & Partial<
    Omit<OvsPort, 'interface'>
  >)[];
}

/** Open vSwitch's database in memory, as far as plans depend on it. */
export class OvsMachine implements OvsView {
  readonly database = 'unix:/var/run/openvswitch/db.sock';
  state: OvsView['state'];
  /** Whether ovs-vswitchd runs; set by a case or a test. */
  switchRuns = true;
  get switchFollows(): boolean {
    return this.switchRuns;
  }
  #takes: boolean;
  #bridges: OvsBridge[];
  #ports: OvsPort[];

  constructor({ state, takes = true, switchRuns = true, bridges = [], ports = [] }: PlainOvs) {
    this.state = state;
    this.switchRuns = switchRuns;
    this.#takes = takes;
    this.#bridges = bridges.map((bridge) => ({
      parent: bridge.name,
      vlan: undefined,
      datapathType: 'system',
      ...bridge,
    }));
    this.#ports = ports.map((port) => ({
      uuid: port.name,
      tag: undefined,
      trunks: [],
      vlanMode: undefined,
      owner: undefined,
      madeFor: undefined,
      hasOurVlans: false,
      ...port,
      interface: { uuid: port.name, externalIds: {}, ofport: 1, error: undefined, ...port.interface },
    }));
  }

  bridge(name: string): OvsBridge | undefined {
    return this.#bridges.find((bridge) => bridge.name === name);
  }

  port(name: string): OvsPort | undefined {
    return this.#ports.find((port) => port.name === name);
  }

  bridges(): readonly OvsBridge[] {
    return this.#bridges;
  }

  ports(): readonly OvsPort[] {
    return this.#ports;
  }

  /** Starts ovs-vswitchd, which takes up the ports that exist and later ones. */
  takeAll(): void {
    this.#takes = true;
    this.#ports = this.#ports.map((port) => ({
      ...port,
      ...(port.interface && { interface: { ...port.interface, ofport: port.interface.ofport ?? 1 } }),
    }));
  }

  /** Has ovs-vswitchd release the ports, and take up none before {@link takeAll}. */
  dropAll(): void {
    this.#takes = false;
    this.#ports = this.#ports.map((port) => ({
      ...port,
      ...(port.interface && { interface: { ...port.interface, ofport: undefined } }),
    }));
  }

  /** Has ovs-vswitchd fail to take up the ports that exist, for this reason. */
  refuse(error: string): void {
    this.#ports = this.#ports.map((port) => ({
      ...port,
      ...(port.interface && { interface: { ...port.interface, ofport: -1, error } }),
    }));
  }

  /** Adds a port that an earlier vif left. */
  inherit(port: OvsPort): void {
    if (this.bridge(port.bridge) && !this.port(port.name)) this.#ports.push(port);
  }

  /** @throws when the server would refuse it */
  perform(action: OvsAction): void {
    if (action.kind === 'ovs-delete-port') {
      this.#ports = this.#ports.filter(({ uuid }) => uuid !== action.port.uuid);
      if (action.note !== undefined) this.#note(action.port.bridge, action.port.owner ?? '', action.note);
      return;
    }
    if (action.kind === 'ovs-delete-note') {
      this.#note(action.bridge, action.vif);
      return;
    }
    if (action.kind === 'ovs-pin-mtu') {
      this.#ports = this.#ports.map((port) =>
        port.interface?.uuid === action.uuid
          ? { ...port, interface: { ...port.interface, mtuRequest: action.mtu } }
          : port,
      );
      return;
    }
    const { name, marks, port } = action;
    // What these two say is about the plan; the database has no such columns.
    const { externalIds, vlansStay: _, vlansKept: ___, onStandby: __, awaitsOvn: ____, ...columns } = port;
    const before = this.port(name);
    if (this.bridge(port.bridge) === undefined) throw new Error(`there is no bridge ${port.bridge}`);
    if ((action.kind === 'ovs-add-port') !== (before === undefined))
      throw new Error(`port ${name}: wait failed`);
    if (action.kind === 'ovs-add-port' && action.forgets) this.#note(port.bridge, marks[markKeys.owner]);
    this.#ports = this.#ports.filter((other) => other !== before);
    this.#ports.push({
      uuid: before?.uuid ?? name,
      name,
      ...columns,
      owner: marks[markKeys.owner],
      madeFor: marks[markKeys.ifindex],
      hasOurVlans: marks[markKeys.vlan] !== undefined,
      ...(marks[markKeys.kept] === undefined ? {} : { kept: marks[markKeys.kept] }),
      interface: {
        uuid: name,
        error: undefined,
        ...before?.interface,
        ofport: before?.interface?.ofport ?? (this.#takes ? 1 : undefined),
        externalIds: { ...without(before?.interface?.externalIds, 'iface-id'), ...externalIds },
      },
    });
  }

  /** Sets what is noted of a vif's port, or deletes it. */
  #note(bridge: string, vif: string, note?: string): void {
    this.#bridges = this.#bridges.map(({ notes = {}, ...one }) => {
      if (one.name !== bridge) return { ...one, notes };
      const left = { ...without(notes, vif), ...(note === undefined ? {} : { [vif]: note }) };
      return Object.keys(left).length === 0 ? one : { ...one, notes: left };
    });
  }
}

function without(ids: Readonly<Record<string, string>> | undefined, key: string): Record<string, string> {
  const { [key]: _, ...others } = ids ?? {};
  return others;
}
