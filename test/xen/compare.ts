import { setTimeout as sleep } from 'node:timers/promises';
import type { Span } from '../bench/svg.js';
import type { Agent } from './agents.js';
import type { Guest } from './guest.js';
import { Netdevs } from './netdevs.js';
import { type NetworkSetup, withSetup } from './network-setups.js';
import type { Result } from './run.js';
import { XenHost } from './xen-host.js';

/*
 * Measures each agent in the same way: a vif's time from the kernel's announcement of its netdev in
 * domnet to the moment dom0 sees `connected` in xenstore, by domnet's clock; xl's own time for a
 * detach; processor and memory as the unit's control group counts them, with every script the agent starts.
 */

/** The measures of one network setup. Times are in ms, processor time in seconds. */
interface Measures {
  readonly one: number[];
  readonly eight: { readonly last: number; readonly connected: number }[];
  readonly detach: number[];
  readonly destroyEight: number[];
  readonly cpuPerVif: number;
  readonly cpuPerEight: number;
}

/** The agent's own cost: seconds of processor time a minute, and MiB. The peak is over all measurements. */
interface Cost {
  readonly cpuIdle: number;
  readonly memoryIdle: number;
  readonly memoryPeak: number;
}

const devids = [0, 1, 2, 3, 4, 5, 6, 7];
const rounds = { one: 3, eight: 1 };

const cpu = async (host: XenHost) =>
  Number(await host.domnet(`sed -n 's/^usage_usec //p' ${host.cgroup}/cpu.stat`)) / 1e6;
const memory = async (host: XenHost, what: string) =>
  Number(await host.domnet(`cat ${host.cgroup}/memory.${what}`)) / 2 ** 20;

async function idle(host: XenHost): Promise<Omit<Cost, 'memoryPeak'>> {
  await host.domnet(`systemctl restart ${host.agent.unit}; sleep 5`);
  const memoryIdle = await memory(host, 'current');
  const before = await cpu(host);
  await sleep(20_000);
  return { memoryIdle, cpuIdle: ((await cpu(host)) - before) * 3 };
}

/**
 * How far domnet's clock is ahead of dom0's, in seconds. Both began with Xen's, and a machine that was busy when they did has them seconds apart.
 * @param guest one that has vif 0
 */
async function clockLead(host: XenHost, guest: Guest): Promise<number> {
  const path = `${guest.backend(0)}/clock`;
  const found: { lead: number; window: number }[] = [];
  for (let round = 0; round < 5; round++) {
    const seen = host.store.events.length;
    const said = await host.domnet(
      `a=$EPOCHREALTIME; xenstore-write ${path} 1; echo $a $EPOCHREALTIME; xenstore-rm ${path}`,
    );
    const [before = Number.NaN, after = Number.NaN] = said.split(' ').map(Number);
    const event = () => host.store.events.slice(seen).find((one) => one.path === path);
    const { at } = await host.until('the time in xenstore', event);
    found.push({ lead: (before + after) / 2 - at, window: after - before });
  }
  return found.sort((one, other) => one.window - other.window)[0]?.lead ?? Number.NaN;
}

async function measure(
  host: XenHost,
  netdevs: Netdevs,
  networkSetup: NetworkSetup,
  say: (text: string) => void,
): Promise<Measures> {
  /** Milliseconds from the netdev to `connected`. */
  const took = (guest: Guest, n: number) => {
    const status = `${guest.backend(n)}/hotplug-status`;
    const done = host.store.events.find(({ path, value }) => path === status && value === 'connected');
    const born = netdevs.bornAt.get(guest.netdev(n));
    return done === undefined || born === undefined ? Number.NaN : (done.at + lead - born) * 1000;
  };
  const wall = async (command: string) => {
    const script = `t=$EPOCHREALTIME; ${command} >/dev/null 2>&1; echo $(( (\${EPOCHREALTIME/./} - \${t/./}) / 1000 ))`;
    return Number((await host.dom0(script)).trim());
  };

  const one: number[] = [];
  const detach: number[] = [];
  const guest = await host.guest({ vifs: [] });
  await guest.run('true');
  await host.attach(guest, networkSetup.vif);
  await guest.connected();
  const lead = await clockLead(host, guest);
  await host.dom0(`xl network-detach ${guest.name} 0`);
  await guest.gone();
  const cpuOne = await cpu(host);
  for (let round = 0; round < rounds.one; round++) {
    const seen = host.store.events.length;
    netdevs.bornAt.delete(guest.netdev(0));
    await host.attach(guest, networkSetup.vif);
    await guest.connected();
    host.store.events.splice(0, seen);
    one.push(took(guest, 0));
    detach.push(await wall(`xl network-detach ${guest.name} 0`));
    await guest.gone();
  }
  await sleep(1000);
  const cpuPerVif = ((await cpu(host)) - cpuOne) / rounds.one;
  await host.endGuests();
  const who = `${host.agent.name}, ${networkSetup.name}`;
  say(`${who}: ${one.map(Math.round).join(', ')} ms to connected, ${detach.join(', ')} ms to detach`);

  const eight: Measures['eight'][number][] = [];
  const destroyEight: number[] = [];
  const cpuEight = await cpu(host);
  for (let round = 0; round < rounds.eight; round++) {
    // The agent may be so busy that netback does not answer xl in time; then the guest is not created.
    const many = await host.guest({ vifs: devids.map(() => networkSetup.vif) }).catch(() => undefined);
    if (many === undefined) {
      eight.push({ last: Number.NaN, connected: 0 });
    } else {
      await many.connected(devids, 75_000).catch(() => undefined);
      const birth = (n: number) => netdevs.bornAt.get(many.netdev(n)) ?? Number.NaN;
      const first = Math.min(...devids.map(birth).filter((at) => !Number.isNaN(at)));
      const ends = devids
        .map((n) => took(many, n) + (birth(n) - first) * 1000)
        .filter((ms) => !Number.isNaN(ms));
      eight.push({ last: Math.max(...ends), connected: ends.length });
      destroyEight.push(await wall(`xl destroy ${many.name}`));
      await sleep(2000);
    }
    await host.endGuests();
    await host.scriptsEnded();
  }
  const cpuPerEight = ((await cpu(host)) - cpuEight) / rounds.eight;
  say(`${who}: 8 vifs in ${eight.map(({ last }) => Math.round(last)).join(', ')} ms`);
  return { one, eight, detach, destroyEight, cpuPerVif, cpuPerEight };
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const ms = (value: number) => (value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);
const eightText = (of: Measures['eight']) =>
  of.map(({ last, connected }) => {
    if (connected === 0) return '`xl create` fails';
    return connected === devids.length ? ms(last) : `${connected} of 8 after ${ms(last)}`;
  });

/**
 * Measures both agents with every network setup on the running machine.
 * @returns that and the scenarios' results as Markdown, and charts of the times
 */
export async function compare(
  agents: readonly Agent[],
  setups: readonly NetworkSetup[],
  say: (text: string) => void,
  results: readonly Result[],
): Promise<{ text: string; charts: Chart[] }> {
  const costs: Cost[] = [];
  const measured = new Map<NetworkSetup, Measures[]>(setups.map((networkSetup) => [networkSetup, []]));
  for (const agent of agents) {
    say(`measuring ${agent.name}`);
    const host = await XenHost.open(agent);
    const alone = await idle(host);
    const netdevs = new Netdevs();
    for (const [setup, columns] of measured) {
      columns.push(await withSetup(host, setup, () => measure(host, netdevs, setup, say)));
      await host.clean();
    }
    costs.push({ ...alone, memoryPeak: await memory(host, 'peak') });
    netdevs.close();
    host.close();
  }
  const names = agents.map(({ name }) => name);
  const header = [`| | ${names.join(' | ')} |`, `|---|${names.map(() => '---:|').join('')}`];
  const row = (what: string, cells: readonly string[]) => `| ${what} | ${cells.join(' | ')} |`;
  const table = [
    ...header,
    ...[...measured].flatMap(([{ name }, columns]) => [
      row(
        `**${name}**: one vif, netdev to \`connected\``,
        columns.map(({ one }) => ms(median(one))),
      ),
      row(
        '8 vifs at once, first netdev to last `connected`',
        columns.map(({ eight }) => eightText(eight).join('; ')),
      ),
      row(
        '`xl network-detach`',
        columns.map(({ detach }) => ms(median(detach))),
      ),
      row(
        '`xl destroy` of a guest with 8 vifs',
        columns.map(({ destroyEight }) => destroyEight.map(ms).join('; ') || '–'),
      ),
      row(
        'processor time, one vif attached and detached',
        columns.map(({ cpuPerVif }) => `${cpuPerVif.toFixed(2)} s`),
      ),
      row(
        'processor time, 8 vifs created and destroyed',
        columns.map(({ cpuPerEight }) => `${cpuPerEight.toFixed(1)} s`),
      ),
    ]),
    row(
      '**idle**: processor time a minute',
      costs.map(({ cpuIdle }) => `${cpuIdle.toFixed(2)} s`),
    ),
    row(
      'memory, idle',
      costs.map(({ memoryIdle }) => `${memoryIdle.toFixed(1)} MiB`),
    ),
    row(
      'memory, peak of all the above',
      costs.map(({ memoryPeak }) => `${memoryPeak.toFixed(1)} MiB`),
    ),
  ];
  const scenarios = [...new Set(results.map(({ scenario }) => scenario))].map((scenario) => {
    const cells = agents.map((agent) => {
      const result = results.find((one) => one.scenario === scenario && one.agent === agent);
      if (result === undefined) return '–';
      const text = (result.error ?? result.note).split('\n')[0]?.slice(0, 160).replaceAll('|', '\\|') ?? '';
      return `${result.error === undefined ? 'yes' : '**no**'}${text === '' ? '' : `: ${text}`}`;
    });
    return `| ${scenario.name} | ${cells.join(' | ')} |`;
  });
  const lines = [...table, ...(scenarios.length > 0 ? ['', ...header, ...scenarios] : [])];
  return { text: `${lines.join('\n')}\n`, charts: chartsOf(agents, measured) };
}

/** A chart of times in seconds. */
interface Chart {
  readonly name: string;
  readonly title: string;
  readonly bars: readonly Span[];
}

function chartsOf(
  agents: readonly Agent[],
  measured: ReadonlyMap<NetworkSetup, readonly Measures[]>,
): Chart[] {
  const bars = (msOf: (measures: Measures) => number) =>
    [...measured].flatMap(([{ name }, columns]) =>
      columns.map((measures, n) => ({
        name: `${name}, ${agents[n]?.name}`,
        from: 0,
        to: (msOf(measures) || 0) / 1000,
      })),
    );
  return [
    { name: 'one', title: 'One vif, netdev to connected', bars: bars(({ one }) => median(one)) },
    {
      name: 'eight',
      title: 'Eight vifs at once, first netdev to last connected',
      bars: bars(({ eight }) => median(eight.map(({ last }) => last))),
    },
  ];
}
