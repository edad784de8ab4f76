import { Background, Ping } from '../process/background.js';
import { exec, until } from '../process/exec.js';
import type { Domnet, IpLink, Vif } from './domnet.js';

/** The interface of a vif. @throws when it does not exist */
export async function linkOf(vif: Vif, name = vif.name): Promise<IpLink> {
  const link = await vif.domnet.link(name);
  if (link === undefined) throw new Error(`there is no interface ${name}`);
  return link;
}

/** Waits until a vif's interface is up and a port of this bridge, or of none and down. */
export function attachedTo(vif: Vif, bridge: string | undefined, name = vif.name): Promise<IpLink> {
  const what = `${name} ${bridge === undefined ? 'off its bridge' : `on ${bridge}`}`;
  return until(what, async () => {
    const link = await vif.domnet.link(name);
    return link?.master === bridge && link?.flags.includes('UP') === (bridge !== undefined)
      ? link
      : undefined;
  });
}

/** Gives two guests addresses, and starts to ping from one to the other. */
export async function pingBetween(from: Vif, to: Vif): Promise<Ping> {
  const address = (vif: Vif) => `10.${vif.devid}.${vif.domid >> 8}.${vif.domid & 255}`;
  for (const vif of [from, to]) await vif.guestIp(`address replace ${address(vif)}/8 dev eth${vif.devid}`);
  const ping = new Ping(await from.domnet.guestNamespace(from.domid), address(to));
  from.domnet.atEnd(() => ping.stop());
  circumstances.set(ping, () => pathBetween(from, to));
  await answers(ping, 5);
  return ping;
}

/** Reads the state to print when a ping is not answered. */
const circumstances = new WeakMap<Ping, () => Promise<string>>();

/** The state that frames between two guests depend on, as text. */
async function pathBetween(from: Vif, to: Vif): Promise<string> {
  const { domnet } = from;
  const bridge = (what: string) => exec('bridge', ['-n', domnet.namespace, ...what.split(' ')]);
  const parts = await Promise.all([
    domnet.ip('-o link show'),
    bridge('-d link show'),
    bridge('fdb show'),
    ...[from, to].flatMap((vif) => [vif.guestIp('-o address show'), vif.guestIp('neighbour show')]),
  ]);
  return parts.join('\n');
}

/** Waits for so many more answers. */
export async function answers(ping: Ping, count: number): Promise<void> {
  const before = ping.answered.length;
  await until(`${count} answers to a ping`, () => ping.answered.length >= before + count).catch(
    async (error) => {
      const path = await circumstances.get(ping)?.();
      throw new Error(`${error.message}; it says: ${ping.output.slice(-3).join('; ')}\n${path ?? ''}`);
    },
  );
}

/** `ip monitor` in the driver domain, which sees the changes of all programs. */
export class Monitor {
  readonly #domnet: Domnet;
  readonly #monitor: Background;
  #marks = 0;

  private constructor(domnet: Domnet, objects: readonly string[]) {
    this.#domnet = domnet;
    this.#monitor = new Background('ip', ['-n', domnet.namespace, '-o', 'monitor', ...objects]);
  }

  /** @param objects the objects for `ip monitor`, links among them */
  static async start(domnet: Domnet, objects: readonly string[] = ['link', 'address']): Promise<Monitor> {
    const monitor = new Monitor(domnet, objects);
    domnet.atEnd(() => monitor.#monitor.stop());
    // A mark may be missed before it listens.
    await until('ip monitor to listen', () => monitor.#mark());
    return monitor;
  }

  /** Ends it, and returns its lines about interfaces with these names. */
  async changesOf(...vifs: Vif[]): Promise<string[]> {
    await until('ip monitor to catch up', () => this.#mark());
    await this.#monitor.stop();
    // The kernel adds link-local addresses itself, and announces them again after duplicate address detection. It also
    // adds the routes that belong to an address.
    const isKernels = (line: string) => / inet6 fe80:|\bproto kernel\b/.test(line);
    // After an @ is the other end of a veth pair: its index, as the name of the device with that index in this namespace.
    const names = vifs.map(({ name }) => new RegExp(`(?<![@\\w])${name.replace('.', '\\.')}\\b`));
    return this.#monitor.lines.filter((line) => names.some((name) => name.test(line)) && !isKernels(line));
  }

  async #mark(): Promise<boolean> {
    const name = `mark${this.#marks++}`;
    await this.#domnet.ip(`link add ${name} type bridge`);
    await this.#domnet.ip(`link delete ${name}`);
    return this.#monitor.lines.some((line) => line.includes(name));
  }
}
