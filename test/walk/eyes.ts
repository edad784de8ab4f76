import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Link, OvsPort, Snapshot } from './snapshot.js';

const script = fileURLToPath(new URL('eyes.py', import.meta.url));

/** A link notification: how the device is from then on, or that it is gone. */
export type LinkEvent = Link & { readonly gone: boolean };

/** An echo request or a DHCP discover, with the name of the namespace it leaves from. */
export interface Sent {
  readonly kind: 'echo' | 'dhcp';
  readonly in: string;
  readonly from?: string | undefined;
  readonly to: string;
  readonly must: boolean;
  readonly device?: string;
  readonly mac?: string;
}

/** The program that looks into the driver domain, and out of the guests' namespaces. One request at a time. */
export class Eyes {
  readonly #child: ChildProcess;
  readonly #answers: ((line: string) => void)[] = [];
  #ended: string | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.#answers.shift()?.(line),
    );
    child.stdin?.on('error', () => undefined);
    child.once('exit', (code, signal) => {
      this.#ended = `eyes.py ended with ${code ?? signal}`;
      for (const answer of this.#answers.splice(0)) answer(JSON.stringify({ error: this.#ended }));
    });
  }

  /** @param dir where the daemon's dnsmasq has its files, by which it is known */
  static async open(namespace: string, dir: string): Promise<Eyes> {
    const eyes = new Eyes(spawn('python3', [script, namespace, dir], { stdio: ['pipe', 'pipe', 'inherit'] }));
    await new Promise<void>((resolve, reject) =>
      eyes.#answers.push((line) => (line.includes('ready') ? resolve() : reject(new Error(line)))),
    );
    return eyes;
  }

  snapshot(): Promise<Omit<Snapshot, 'ports' | 'dhcp'>> {
    return this.#ask({ do: 'snapshot' });
  }

  /** The link notifications since the last time. */
  events(): Promise<LinkEvent[]> {
    return this.#ask({ do: 'events' });
  }

  /** How many notifications of rtnetlink and of nftables there were since the last time. */
  traffic(): Promise<[route: number, nftables: number]> {
    return this.#ask({ do: 'traffic' });
  }

  /** What was answered within `ms`, by the probes' positions; of a DHCP discover the offered address and router. */
  async probe(probes: readonly Sent[], ms: number): Promise<Map<number, string>> {
    const found = await this.#ask<Record<string, string>>({ do: 'probe', ms, probes });
    return new Map(Object.entries(found).map(([at, answer]) => [Number(at), answer]));
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  #ask<T>(request: unknown): Promise<T> {
    const answer = this.#turn.then(
      () =>
        new Promise<T>((resolve, reject) => {
          if (this.#ended !== undefined) return reject(new Error(this.#ended));
          this.#answers.push((line) => {
            const found = JSON.parse(line) as T & { error?: string };
            if (found.error !== undefined) reject(new Error(found.error));
            else resolve(found);
          });
          this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
        }),
    );
    this.#turn = answer.catch(() => undefined);
    return answer;
  }
}

type Cell = string | number | boolean | [string, unknown];
type Row = Record<string, Cell>;

/** The ports in Open vSwitch's database, with what the operator has set of them; undefined when it does not answer. */
export async function ovsPorts(socketPath: string): Promise<OvsPort[] | undefined> {
  const reply = await request(socketPath, { method: 'transact', params: portsRequest, id: 1 }).catch(
    () => undefined,
  );
  return reply === undefined ? undefined : portsOf((reply as { result: PortsReply }).result);
}

const select = (table: string) => ({ op: 'select', table, where: [] });

/** The parameters of the `transact` that asks for the ports, as `ovsdb-client transact` takes them, too. */
export const portsRequest = ['Open_vSwitch', select('Bridge'), select('Port'), select('Interface')];

/** Its result: the rows of each table. */
export type PortsReply = { rows: Row[] }[];

/** The ports in a reply to {@link portsRequest}. */
export function portsOf(reply: PortsReply): OvsPort[] {
  const [inBridges, inPorts, interfaces] = reply.map(({ rows }) => rows) as [Row[], Row[], Row[]];
  const byUuid = (rows: Row[]) => new Map(rows.map((row) => [uuid(row._uuid), row]));
  const ports = byUuid(inPorts);
  const bridgeOf = new Map(
    inBridges.flatMap((bridge) => uuids(bridge.ports).map((port) => [port, String(bridge.name)] as const)),
  );
  const interfaceOf = byUuid(interfaces);
  return [...ports].map(([id, row]) => {
    const [own] = uuids(row.interfaces).map((one) => interfaceOf.get(one));
    const ids = map(row.external_ids);
    return {
      name: String(row.name),
      bridge: bridgeOf.get(id) ?? '',
      vlans: JSON.stringify([row.tag, row.trunks, row.vlan_mode]),
      owner: ids.get('vifd') ?? '',
      mac: map(own?.external_ids).get('attached-mac') ?? '',
      settings: JSON.stringify([
        id,
        row.tag,
        row.trunks,
        row.vlan_mode,
        row.external_ids,
        own?.external_ids,
        own?.type,
      ]),
    };
  });
}

const uuid = (cell: Cell | undefined): string => (Array.isArray(cell) ? String(cell[1]) : '');
/** A set of one is the one without the set (RFC 7047, 5.1). */
const uuids = (cell: Cell | undefined): string[] =>
  !Array.isArray(cell) ? [] : cell[0] === 'set' ? (cell[1] as Cell[]).map(uuid) : [uuid(cell)];
const map = (cell: Cell | undefined): Map<string, string> =>
  new Map(Array.isArray(cell) && cell[0] === 'map' ? (cell[1] as [string, string][]) : []);

/** One request over a connection of its own; the reply is whole when it parses. */
function request(path: string, message: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), 1000);
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      try {
        resolve(JSON.parse(text));
        socket.destroy();
      } catch {
        // More is to come.
      }
    });
    socket.write(JSON.stringify(message));
  });
}
