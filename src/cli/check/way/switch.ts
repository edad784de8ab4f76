import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { waitingOf } from '../../../host/ovsdb/spanning-tree.js';
import type { OvsPort } from '../../../model/ovs-port.js';
import type { Step } from '../../../reconcile/next.js';
import { runProgram } from './run.js';

/** What Open vSwitch says of a vif's port: its database, and a frame that ovs-vswitchd is asked about. */
export interface SwitchFacts {
  readonly bridge: string;
  readonly port: string;
  /** `secure` or `standalone`; empty for the default, which is `standalone`. */
  readonly failMode: string;
  /** Whether each of the bridge's controllers is connected, by its target. */
  readonly controllers: ReadonlyMap<string, boolean>;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  /** The bridge's ports and their kinds: `internal`, `patch`, empty for a netdev. */
  readonly ports: ReadonlyMap<
    string,
    {
      readonly type: string;
      readonly error: string;
      readonly link: string;
      /** What the bridge's spanning tree lets it do, where that is not to forward. */
      readonly waiting?: OvsPort['waiting'];
    }
  >;
  /** Whether the guest's traffic goes by its twin's port, and nothing is to come by this one. */
  readonly onStandby?: boolean;
  /** The ports at which a broadcast of the guest comes out, by ovs-vswitchd's own account; or why it gives none. */
  readonly trace: readonly string[] | { readonly reason: string };
}

/** Asks Open vSwitch about a vif's port; undefined for a vif that has none. */
export async function gatherSwitch({ verdict }: Step, database: string): Promise<SwitchFacts | undefined> {
  const desired = verdict.kind === 'attach' ? verdict.desired : undefined;
  if (desired?.ovsPort === undefined) return undefined;
  const { name: port, ovsPort, filter } = desired;
  const { bridge } = ovsPort;
  const list = (table: string, columns: string, ...records: string[]): Promise<Row[]> =>
    rowsOf(database, ['--columns', columns, 'list', table, ...records]);
  const [bridges, ports, interfaces, controllers] = await Promise.all([
    list('bridge', 'name,fail_mode,ports,controller', bridge),
    list('port', '_uuid,name,tag,trunks,status,rstp_status'),
    list('interface', 'name,type,error,link_state'),
    list('controller', '_uuid,target,is_connected'),
  ]);
  const [row] = bridges;
  const own = ports.find(({ name }) => name === port);
  const onBridge = new Set(
    ports.filter(({ _uuid }) => uuids(row?.ports).includes(uuids(_uuid)[0] ?? '')).map(({ name }) => name),
  );
  const trunks = listOf(own?.trunks).map(Number);
  const tag = listOf(own?.tag).map(Number)[0];
  return {
    bridge,
    port,
    failMode: listOf(row?.fail_mode).map(String)[0] ?? '',
    controllers: new Map(
      controllers
        .filter(({ _uuid }) => uuids(row?.controller).includes(uuids(_uuid)[0] ?? ''))
        .map(({ target, is_connected }) => [String(target), is_connected === true]),
    ),
    tag,
    trunks,
    ports: new Map(
      interfaces
        .filter(({ name }) => onBridge.has(name))
        .map(({ name, type, error, link_state }) => [
          String(name),
          {
            type: String(type),
            error: listOf(error).join(' '),
            link: listOf(link_state).join(' '),
            waiting: waitingAt(ports.find((one) => one.name === name)),
          },
        ]),
    ),
    onStandby: ovsPort.onStandby === true,
    trace: await trace(
      database,
      bridge,
      frame(port, ovsPort.externalIds['attached-mac'] ?? '', filter?.networks[0], tag, trunks),
    ),
  };
}

/** A broadcast of the guest: it asks for an address, or, where its own is known, whose another is. */
function frame(
  port: string,
  mac: string,
  own: { readonly family: 4 | 6; readonly address: string } | undefined,
  tag: number | undefined,
  trunks: readonly number[],
): string {
  const vlan = tag === undefined && trunks[0] !== undefined ? [`dl_vlan=${trunks[0]}`] : [];
  const ends = [`in_port="${port}"`, `dl_src=${mac}`, 'dl_dst=ff:ff:ff:ff:ff:ff', ...vlan];
  const rest =
    own?.family === 4
      ? ['arp', 'arp_op=1', `arp_sha=${mac}`, `arp_spa=${own.address}`, `arp_tpa=${own.address}`]
      : ['udp', 'nw_src=0.0.0.0', 'nw_dst=255.255.255.255', 'udp_src=68', 'udp_dst=67'];
  return [...rest, ...ends].join(',');
}

async function trace(database: string, bridge: string, flow: string): Promise<SwitchFacts['trace']> {
  const directory = dirname(database.replace(/^unix:/, ''));
  let sockets: string[] = [];
  try {
    sockets = readdirSync(directory).filter((name) => /^ovs-vswitchd.*\.ctl$/.test(name));
  } catch {
    // Said below.
  }
  let reason = `there is no control socket of ovs-vswitchd in ${directory}`;
  for (const socket of sockets) {
    const output = await runProgram('ovs-appctl', [
      '-t',
      join(directory, socket),
      'ofproto/trace',
      '--names',
      bridge,
      flow,
    ]);
    if ('failed' in output) {
      reason = output.failed.split('\n')[0] ?? '';
      continue;
    }
    const actions = /^Datapath actions: (.*)$/gm.exec(output.stdout)?.[1] ?? '';
    return actions
      .replace(/\([^()]*\)/g, '')
      .split(',')
      .filter((one) => one !== '' && one !== 'drop');
  }
  return { reason };
}

type Cell = unknown;
type Row = Record<string, Cell>;

/** The rows that ovs-vsctl prints; none where it fails. */
async function rowsOf(database: string, words: readonly string[]): Promise<Row[]> {
  const output = await runProgram('ovs-vsctl', [
    `--db=${database}`,
    '--timeout=4',
    '--format=json',
    ...words,
  ]);
  if ('failed' in output || output.stdout.trim() === '') return [];
  const { headings, data } = JSON.parse(output.stdout) as { headings: string[]; data: Cell[][] };
  return data.map((cells) => Object.fromEntries(cells.map((cell, i) => [headings[i] ?? '', cell])));
}

/** The values of a cell: of a set its elements, and one value is a set of one. */
function listOf(cell: Cell): unknown[] {
  if (cell === undefined) return [];
  if (!Array.isArray(cell)) return [cell];
  const [kind, value] = cell as [string, unknown];
  return kind === 'set' ? (value as unknown[]) : [cell];
}

const mapOf = (cell: Cell): Record<string, string> =>
  Array.isArray(cell) && cell[0] === 'map' ? Object.fromEntries(cell[1] as [string, string][]) : {};

const waitingAt = (port: Row | undefined): OvsPort['waiting'] =>
  waitingOf(mapOf(port?.status), mapOf(port?.rstp_status));

const uuids = (cell: Cell): string[] => listOf(cell).map((one) => (one as [string, string])[1]);
