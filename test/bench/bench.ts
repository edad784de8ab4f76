import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Domnet } from '../support/net/domnet.js';
import { type Agent, type AgentName, agents, cpuMs, rssMb, startAgent } from './agents.js';
import { BenchDomain } from './bench-domain.js';

// Measures the time from a vif's keys to `connected` for each agent, in the same driver domain with the same xenstored, and
// prints a table in Markdown. The agents take turns, so that other load on the machine affects all of them. See
// docs/develop/benchmarks.md for what the figures mean. `--before MAIN.JS` compares vifd with another build of it instead;
// `--config TOML` is the configuration of vifd, and not of that.

const { values: options } = parseArgs({
  options: { before: { type: 'string' }, config: { type: 'string' } },
});
const names: readonly AgentName[] = options.before === undefined ? agents : ['vifd', 'before'];

const turns = 3;
const perTurn = { single: 10, burst: 2 };
const burst = 64;
const many = 200;

interface Figures {
  readonly single: number[];
  readonly burst: number[];
  /** CPU time of the agent in each burst, in ms. */
  readonly cpu: number[];
  /** In MB. */
  readonly rss: { idle: number; many: number };
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const quantile = (values: readonly number[], q: number): number =>
  sorted(values)[Math.min(values.length - 1, Math.floor(q * values.length))] as number;
const median = (values: readonly number[]): number => quantile(values, 0.5);

async function turn(
  name: AgentName,
  agent: Agent,
  benchDomain: BenchDomain,
  figures: Figures,
): Promise<void> {
  figures.rss.idle = rssMb(agent.pid);
  // The first run of each kind is not counted: caches are cold and, in the daemon, code is not compiled yet.
  for (let i = 0; i <= perTurn.single; i++) {
    const ms = await benchDomain.run(1);
    if (i > 0) figures.single.push(ms);
    await benchDomain.clear();
  }
  for (let i = 0; i <= perTurn.burst; i++) {
    const before = cpuMs(agent.pid);
    const ms = await benchDomain.run(burst);
    if (i > 0) {
      figures.burst.push(ms);
      figures.cpu.push(cpuMs(agent.pid) - before);
    }
    await benchDomain.clear();
  }
  if (name === 'vifd' || name === 'before') {
    await benchDomain.run(many);
    figures.rss.many = rssMb(agent.pid);
    await benchDomain.clear();
  }
}

function print(results: Map<AgentName, Figures>): void {
  const of = (name: AgentName): Figures => results.get(name) as Figures;
  const headings: Record<AgentName, string> = {
    vifd: 'vifd',
    before: 'before',
    stock: 'stock `vif-bridge`',
    floor: 'floor in C',
  };
  const others = names.filter((name) => name !== 'vifd');
  const line = (cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`);
  const row = (title: string, value: (figures: Figures) => number): void => {
    const ms = (name: AgentName): number => value(of(name));
    const shown = names.map((name) => (ms(name) < 10 ? ms(name).toFixed(2) : ms(name).toFixed(0)));
    const ratios = others.map((name) => {
      const ratio = ms(name) / ms('vifd');
      return ratio >= 1
        ? `${ratio.toFixed(ratio < 10 ? 1 : 0)}× faster`
        : `${(1 / ratio).toFixed(1)}× slower`;
    });
    line([title, ...shown, ...ratios]);
  };
  console.log();
  line(['ms', ...names.map((name) => headings[name]), ...others.map((name) => `vifd to ${name}`)]);
  console.log(`|---|${'---:|'.repeat(names.length + others.length)}`);
  row(`one vif, median of ${turns * perTurn.single}`, ({ single }) => median(single));
  row('one vif, 95th percentile', ({ single }) => quantile(single, 0.95));
  row(`${burst} at once, median of ${turns * perTurn.burst}`, ({ burst }) => median(burst));
  row(`${burst} at once, slowest`, ({ burst }) => Math.max(...burst));
  for (const name of names.filter((name) => name === 'vifd' || name === 'before')) {
    const { cpu, rss } = of(name);
    const mean = cpu.reduce((sum, ms) => sum + ms, 0) / cpu.length;
    console.log(
      `\n${name} uses ${mean.toFixed(0)} ms of CPU time for ${burst} vifs, ${rss.idle.toFixed(0)} MB of memory idle and ${rss.many.toFixed(0)} MB with ${many} vifs.`,
    );
  }
  const cpuName = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  console.log(
    `${availableParallelism()} CPUs (${cpuName}), Linux ${release()}, Node ${process.version}, load average ${load.toFixed(1)} before, ${new Date().toISOString().slice(0, 10)}.`,
  );
}

const load = loadavg()[0] as number;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
}

const domnet = await Domnet.start();
try {
  const benchDomain = await BenchDomain.make(domnet, many, interrupted.signal);
  const results = new Map<AgentName, Figures>(
    names.map((name) => [name, { single: [], burst: [], cpu: [], rss: { idle: 0, many: 0 } }]),
  );
  for (let i = 1; i <= turns; i++) {
    for (const [name, figures] of results) {
      process.stderr.write(`turn ${i} of ${turns}: ${name}\n`);
      const { before: main, config } = options;
      const agent = await startAgent(name, domnet, {
        main,
        ...(name === 'vifd' && config !== undefined && { config }),
      });
      try {
        await turn(name, agent, benchDomain, figures);
      } finally {
        await agent.stop();
      }
    }
  }
  print(results);
} finally {
  await domnet.stop();
}
