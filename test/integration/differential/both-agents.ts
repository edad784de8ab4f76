import { readFileSync } from 'node:fs';
import { type AgentName, startAgent } from '../../bench/agents.js';
import { Domnet, Vif, type VifSpec } from '../../support/net/domnet.js';
import { type HostState, hostState } from '../../support/net/host-state.js';
import { OpenVswitch } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';

/** A vif, and the host it comes to. */
export interface Input {
  readonly keys: NonNullable<VifSpec['keys']>;
  /** Whether Open vSwitch runs there. */
  readonly openvswitch?: boolean;
  /** Makes bridges, uplinks and the like. */
  prepare(domnet: Domnet, ovs: OpenVswitch | undefined): Promise<unknown>;
}

const domid = 5;

/** Where vifd says that it serves: of the daemon, and not of a vif. */
const ownKey = 'xenstore /local/domain/0/data/vifd';

/** One attribute, or one thing, in two hosts; null where there is none. */
export interface Values {
  readonly stock: string | null;
  readonly vifd: string | null;
}

/** What differs, by thing and attribute. */
export type Differences = Record<string, Values>;

/** What two hosts have while they serve a vif, and what is on them that was not there before it came, when it is gone. */
export interface Compared {
  readonly attached: Differences;
  readonly left: Differences;
}

/** Gives the same vif to the stock script and to vifd, each in a driver domain of its own, and takes it away again. */
export async function compare(input: Input): Promise<Compared> {
  const [stock, vifd] = await Promise.all([outcome('stock', input), outcome('vifd', input)]);
  const [ofStock, ofVifd] = [changes(stock), changes(vifd)];
  const left: Differences = {};
  for (const what of new Set([...ofStock.keys(), ...ofVifd.keys()]))
    left[what] = { stock: ofStock.get(what) ?? null, vifd: ofVifd.get(what) ?? null };
  const attached: Differences = {};
  for (const [what, [a, b]] of diverging(stock.attached, vifd.attached))
    if (what !== ownKey) attached[what] = { stock: a, vifd: b };
  return { attached, left };
}

/** What is otherwise than before, and how it is now. */
const changes = ({ before, after }: Outcome): Map<string, string> =>
  new Map([...diverging(before, after)].map(([what, [, now]]) => [what, now ?? 'gone']));

/** What is not the same in both, and how it is in each; null for nothing. */
function diverging(a: HostState, b: HostState): Map<string, [string | null, string | null]> {
  const found = new Map<string, [string | null, string | null]>();
  for (const thing of union(a, b)) {
    const [here, there] = [a.get(thing), b.get(thing)];
    // Of a thing that one of them has, its attributes are no news.
    if (here === undefined || there === undefined) {
      const whole = (attributes: typeof here): string | null =>
        attributes === undefined ? null : (attributes.get('') ?? 'there');
      found.set(thing, [whole(here), whole(there)]);
      continue;
    }
    for (const attribute of union(here, there)) {
      const values: [string | null, string | null] = [
        here.get(attribute) ?? null,
        there.get(attribute) ?? null,
      ];
      if (values[0] !== values[1]) found.set(`${thing} ${attribute}`.trim(), values);
    }
  }
  return found;
}

const union = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): string[] =>
  [...new Set([...a.keys(), ...b.keys()])].sort();

type Outcome = Readonly<Record<'before' | 'attached' | 'after', HostState>>;

async function outcome(name: AgentName, input: Input): Promise<Outcome> {
  const domnet = await Domnet.start();
  let ovs: OpenVswitch | undefined;
  try {
    // Then an address is there at once, without the time in which the kernel looks for duplicates.
    await domnet.exec('sysctl', ['-qw', 'net.ipv6.conf.default.accept_dad=0']);
    if (input.openvswitch) {
      ovs = new OpenVswitch(domnet);
      await ovs.start();
    }
    await input.prepare(domnet, ovs);
    const agent = await startAgent(name, domnet, ovs && { config: ovs.config, env: { OVS_RUNDIR: ovs.dir } });
    try {
      const vif = new Vif(domnet, domid, 0);
      const netdev = input.keys.vifname ?? vif.name;
      const state = (): Promise<HostState> => hostState(domnet, vif, netdev, ovs);
      const before = await state();
      await domnet.plug({ domid, keys: input.keys });
      await done(name, agent.pid, vif);
      await settled(vif, netdev);
      const attached = await state();
      await vif.unplug();
      return { before, attached, after: await state() };
    } finally {
      await agent.stop();
    }
  } finally {
    await ovs?.stop();
    await domnet.stop();
  }
}

/**
 * vifd has done everything when it writes the status. A script may write none, or, as vif-openvswitch does, `error` on
 * its way to `connected`: only its end tells.
 */
async function done(name: AgentName, pid: number, vif: Vif): Promise<void> {
  let isSeen = false;
  await until(`${name} to be done`, async () => {
    const isTold = ((await vif.read('hotplug-status')) ?? '') !== '';
    if (name === 'vifd') return isTold;
    const runs = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') !== '';
    isSeen ||= runs || isTold;
    return isSeen && !runs;
  });
}

/** The kernel takes a while to see the carrier of what is up. */
async function settled({ domnet }: Vif, name: string): Promise<void> {
  await until(`the carrier of ${name}`, async () => {
    const [link] = JSON.parse(await domnet.ip(`-j link show dev ${name}`)) as {
      flags: string[];
      operstate: string;
    }[];
    return link !== undefined && (!link.flags.includes('UP') || link.operstate === 'UP');
  });
}
