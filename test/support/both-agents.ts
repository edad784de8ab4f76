import { readFileSync } from 'node:fs';
import { type AgentName, startAgent } from '../bench/agents.js';
import { Domnet, type Vif, type VifSpec } from './domnet.js';
import { until } from './exec.js';
import { type HostState, hostState } from './host-state.js';
import { OpenVswitch } from './openvswitch.js';

/** A vif, and the host it comes to. */
export interface Input {
  readonly keys: NonNullable<VifSpec['keys']>;
  /** Whether Open vSwitch runs there. */
  readonly openvswitch?: boolean;
  /** Makes bridges, uplinks and the like. */
  prepare(domnet: Domnet, ovs: OpenVswitch | undefined): Promise<unknown>;
}

const domid = 5;

/** One attribute, or one thing, in two hosts; null where there is none. */
export interface Values {
  readonly stock: string | null;
  readonly vifd: string | null;
}

/** Gives the same vif to the stock script and to vifd, each in a driver domain of its own. @returns what differs then */
export async function differences(input: Input): Promise<Record<string, Values>> {
  const [stock, vifd] = await Promise.all([outcome('stock', input), outcome('vifd', input)]);
  const found: Record<string, Values> = {};
  for (const thing of union(stock, vifd)) {
    const [a, b] = [stock.get(thing), vifd.get(thing)];
    // Of a thing that one of them has, its attributes are no news.
    if (a === undefined || b === undefined) {
      const whole = (attributes: typeof a): string | null =>
        attributes === undefined ? null : (attributes.get('') ?? 'there');
      found[thing] = { stock: whole(a), vifd: whole(b) };
      continue;
    }
    for (const attribute of union(a, b)) {
      const values = { stock: a.get(attribute) ?? null, vifd: b.get(attribute) ?? null };
      if (values.stock !== values.vifd) found[`${thing} ${attribute}`.trim()] = values;
    }
  }
  return found;
}

const union = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): string[] =>
  [...new Set([...a.keys(), ...b.keys()])].sort();

async function outcome(name: AgentName, input: Input): Promise<HostState> {
  const domnet = await Domnet.start();
  let ovs: OpenVswitch | undefined;
  try {
    // Then an address is there at once, without a time in which the kernel asks for others who have it.
    await domnet.exec('sysctl', ['-qw', 'net.ipv6.conf.default.accept_dad=0']);
    if (input.openvswitch) {
      ovs = new OpenVswitch(domnet);
      await ovs.start();
    }
    await input.prepare(domnet, ovs);
    const agent = await startAgent(name, domnet, ovs && { config: ovs.config, env: { OVS_RUNDIR: ovs.dir } });
    try {
      const vif = await domnet.plug({ domid, keys: input.keys });
      await done(name, agent.pid, vif);
      const netdev = input.keys.vifname ?? vif.name;
      await settled(vif, netdev);
      return await hostState(domnet, vif, netdev, ovs);
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
