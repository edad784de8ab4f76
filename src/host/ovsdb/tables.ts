import { markKeys, notePrefix, type OvsBridge, type OvsPort } from '../../model/ovs-port.js';
import { waitingOf } from './spanning-tree.js';

/**
 * The columns that are followed; not those that ovs-vswitchd changes all the time, like statistics. `status` of a Port changes with its
 * state in a spanning tree (run_status_update).
 */
export const monitoredColumns = {
  Open_vSwitch: ['cur_cfg', 'other_config'],
  Bridge: ['name', 'ports', 'datapath_type', 'external_ids'],
  Port: [
    'name',
    'interfaces',
    'tag',
    'trunks',
    'vlan_mode',
    'protected',
    'fake_bridge',
    'external_ids',
    'status',
    'rstp_status',
  ],
  Interface: ['name', 'type', 'ofport', 'error', 'mtu_request', 'external_ids'],
};

type Table = keyof typeof monitoredColumns;
type Row = Readonly<Record<string, unknown>>;

/** The content of an `update` notification or of the reply to `monitor`: by table, by row. */
type TableUpdates = Readonly<Record<string, Readonly<Record<string, { old?: Row; new?: Row }>>>>;

/** Bridges and ports by the rows received so far. */
export class OvsdbTables {
  readonly #rows: Record<Table, Map<string, Row>> = {
    Open_vSwitch: new Map(),
    Bridge: new Map(),
    Port: new Map(),
    Interface: new Map(),
  };
  /** Made of the rows on demand; undefined after they changed. */
  #index: { bridges: Map<string, OvsBridge>; ports: Map<string, OvsPort> } | undefined;

  /** The number of the last configuration ovs-vswitchd has put into effect. */
  get currentConfiguration(): number {
    const [row] = this.#rows.Open_vSwitch.values();
    return number(row?.cur_cfg) ?? 0;
  }

  bridge(name: string): OvsBridge | undefined {
    return this.#indexed().bridges.get(name);
  }

  port(name: string): OvsPort | undefined {
    return this.#indexed().ports.get(name);
  }

  bridges(): Iterable<OvsBridge> {
    return this.#indexed().bridges.values();
  }

  ports(): Iterable<OvsPort> {
    return this.#indexed().ports.values();
  }

  /** Applies updates. @returns the names of the bridges, ports and interfaces they concern, and the ports' owners */
  apply(updates: unknown): { names: string[]; owners: string[] } {
    const names = new Set<string>();
    const owners = new Set<string>();
    for (const [table, rows] of Object.entries(updates as TableUpdates)) {
      if (!(table in this.#rows)) continue;
      for (const [uuid, update] of Object.entries(rows)) {
        const known = this.#rows[table as Table];
        const isNews = !isSeconds(known.get(uuid), update);
        if (isNews)
          for (const row of [known.get(uuid), update.new]) {
            if (typeof row?.name === 'string') names.add(row.name);
            const owner = map(row?.external_ids)[markKeys.owner];
            if (table === 'Port' && owner !== undefined) owners.add(owner);
          }
        if (table === 'Open_vSwitch' && offloads(known.get(uuid)) !== offloads(update.new))
          for (const { name } of this.#rows.Bridge.values()) names.add(String(name));
        if (update.new) known.set(uuid, update.new);
        else known.delete(uuid);
      }
    }
    this.#index = undefined;
    return { names: [...names], owners: [...owners] };
  }

  #indexed(): { bridges: Map<string, OvsBridge>; ports: Map<string, OvsPort> } {
    this.#index ??= this.#read();
    return this.#index;
  }

  #read(): { bridges: Map<string, OvsBridge>; ports: Map<string, OvsPort> } {
    const bridges = new Map<string, OvsBridge>();
    const ports = new Map<string, OvsPort>();
    const [root] = this.#rows.Open_vSwitch.values();
    const offloading = offloads(root) ? { offloads: true } : {};
    for (const row of this.#rows.Bridge.values()) {
      const name = String(row.name);
      const datapathType = String(row.datapath_type);
      const notes = notesIn(map(row.external_ids));
      bridges.set(name, { name, parent: name, vlan: undefined, datapathType, ...offloading, ...notes });
      for (const uuid of uuids(row.ports)) {
        const port = this.#rows.Port.get(uuid);
        if (port === undefined) continue;
        const portName = String(port.name);
        const vlan = number(port.tag);
        ports.set(portName, this.#port(uuid, port, name));
        if (port.fake_bridge === true)
          bridges.set(portName, { name: portName, parent: name, vlan, datapathType, ...offloading });
      }
    }
    return { bridges, ports };
  }

  #port(uuid: string, row: Row, bridge: string): OvsPort {
    const [interfaceUuid, another] = uuids(row.interfaces);
    const waiting = waitingIn(row);
    const only = another === undefined ? this.#rows.Interface.get(interfaceUuid ?? '') : undefined;
    return {
      uuid,
      name: String(row.name),
      bridge,
      tag: number(row.tag),
      trunks: elements(row.trunks)
        .filter((vid): vid is number => Number.isInteger(vid))
        .sort((a, b) => a - b),
      vlanMode: text(row.vlan_mode),
      owner: map(row.external_ids)[markKeys.owner],
      madeFor: map(row.external_ids)[markKeys.ifindex],
      ...(row.protected === true ? { isolated: true } : {}),
      ...(map(row.external_ids)[markKeys.vlan] === undefined ? {} : { hasOurVlans: true }),
      ...withKept(map(row.external_ids)[markKeys.kept]),
      ...(waiting === undefined ? {} : { waiting }),
      interface: only && {
        uuid: String(interfaceUuid),
        externalIds: map(only.external_ids),
        ofport: number(only.ofport),
        error: text(only.error),
        ...(only.type === 'internal' ? { isInternal: true } : {}),
        ...withMtuRequest(number(only.mtu_request)),
      },
    };
  }
}

/** Whether a row of Open_vSwitch says that flows of every bridge may be put into tc. */
const offloads = (row: Row | undefined): boolean => map(row?.other_config)['hw-offload'] === 'true';

const waitingIn = (row: Row): OvsPort['waiting'] => waitingOf(map(row.status), map(row.rstp_status));

/** Whether an update is about the time alone that a port has been in its state (`stp_sec_in_state`). */
const isSeconds = (before: Row | undefined, { old, new: now }: { old?: Row; new?: Row }): boolean =>
  before !== undefined &&
  now !== undefined &&
  old !== undefined &&
  Object.keys(old).length > 0 &&
  Object.keys(old).every((column) => column === 'status' || column === 'rstp_status') &&
  waitingIn(before) === waitingIn(now);

function notesIn(ids: Readonly<Record<string, string>>): Pick<OvsBridge, 'notes'> {
  const found = Object.entries(ids).filter(([key]) => key.startsWith(notePrefix));
  if (found.length === 0) return {};
  return { notes: Object.fromEntries(found.map(([key, value]) => [key.slice(notePrefix.length), value])) };
}

const withMtuRequest = (mtuRequest: number | undefined): { mtuRequest?: number } =>
  mtuRequest === undefined ? {} : { mtuRequest };

const withKept = (kept: string | undefined): { kept?: string } => (kept === undefined ? {} : { kept });

// Values as RFC 7047, 5.1 writes them: a set of one is the value itself, any other is ["set", […]]. What is none of these counts as
// nothing, so that a view of the database can always be read.

function elements(value: unknown): unknown[] {
  if (!Array.isArray(value)) return value === undefined ? [] : [value];
  if (value[0] !== 'set') return [value];
  return Array.isArray(value[1]) ? value[1] : [];
}

const uuids = (value: unknown): string[] =>
  elements(value).flatMap((pair) => (Array.isArray(pair) && typeof pair[1] === 'string' ? [pair[1]] : []));

function number(value: unknown): number | undefined {
  const [first] = elements(value);
  return typeof first === 'number' && Number.isInteger(first) ? first : undefined;
}

function text(value: unknown): string | undefined {
  const [first] = elements(value);
  return typeof first === 'string' ? first : undefined;
}

function map(value: unknown): Record<string, string> {
  if (!Array.isArray(value) || value[0] !== 'map' || !Array.isArray(value[1])) return {};
  const isPair = (pair: unknown): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');
  return Object.fromEntries(value[1].filter(isPair));
}
