import { readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import { Domnet } from '../support/domnet.js';
import { type Agent, type AgentName, agents, cpuMs, rssMb, startAgent } from './agents.js';
import { Yard } from './yard.js';

// Times a vif's way to `connected` for each agent in turn, all in the same driver domain with the same xenstored, and
// prints a table in Markdown. See docs/benchmarks.md for what the figures mean.

const singles = 30;
const bursts = 5;
const burst = 64;
const many = 200;

interface Figures {
  single: number[];
  burst: number[];
  cpuMs: number;
  rss?: { idle: number; many: number };
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const quantile = (values: readonly number[], q: number): number =>
  sorted(values)[Math.min(values.length - 1, Math.floor(q * values.length))] as number;
const median = (values: readonly number[]): number => quantile(values, 0.5);

async function measure(name: AgentName, agent: Agent, yard: Yard): Promise<Figures> {
  const idle = rssMb(agent.pid);
  const figures: Figures = { single: [], burst: [], cpuMs: 0 };
  const rounds = { single: singles, burst: name === 'stock' ? 3 : bursts };
  // The first run of each kind is not counted: caches are cold and, in the daemon, code is not compiled yet.
  for (let i = 0; i <= rounds.single; i++) {
    const ms = await yard.run(1);
    if (i > 0) figures.single.push(ms);
    await yard.clear();
  }
  for (let i = 0; i <= rounds.burst; i++) {
    const before = cpuMs(agent.pid);
    const ms = await yard.run(burst);
    if (i > 0) {
      figures.burst.push(ms);
      figures.cpuMs += (cpuMs(agent.pid) - before) / rounds.burst;
    }
    await yard.clear();
  }
  if (name === 'vifd') {
    await yard.run(many);
    figures.rss = { idle, many: rssMb(agent.pid) };
    await yard.clear();
  }
  return figures;
}

function print(results: Map<AgentName, Figures>): void {
  const of = (name: AgentName): Figures => results.get(name) as Figures;
  const row = (title: string, value: (figures: Figures) => number): void => {
    const values = agents.map((name) => value(of(name)));
    const [vifd, stock, floor] = values as [number, number, number];
    const cells = [vifd, stock, floor].map((ms) => (ms < 10 ? ms.toFixed(2) : ms.toFixed(0)));
    console.log(
      `| ${title} | ${cells.join(' | ')} | ${(stock / vifd).toFixed(0)}× faster | ${(vifd / floor).toFixed(1)}× slower |`,
    );
  };
  console.log(
    '\n| ms | vifd | stock `vif-bridge` | floor in C | vifd to stock | vifd to floor |\n|---|---:|---:|---:|---:|---:|',
  );
  row(`one vif, median of ${singles}`, ({ single }) => median(single));
  row('one vif, 95th percentile', ({ single }) => quantile(single, 0.95));
  row(`${burst} at once, median`, ({ burst }) => median(burst));
  row(`${burst} at once, slowest`, ({ burst }) => Math.max(...burst));
  const { cpuMs: cpu, rss } = of('vifd');
  console.log(
    `\nvifd uses ${cpu.toFixed(0)} ms of CPU time for ${burst} vifs, ${rss?.idle.toFixed(0)} MB of memory idle and ${rss?.many.toFixed(0)} MB with ${many} vifs.`,
  );
  const cpuName = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  console.log(
    `${availableParallelism()} CPUs (${cpuName}), Linux ${release()}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`,
  );
}

const domnet = await Domnet.start();
try {
  const yard = await Yard.make(domnet, many);
  const results = new Map<AgentName, Figures>();
  for (const name of agents) {
    process.stderr.write(`${name}…\n`);
    const agent = await startAgent(name, domnet);
    try {
      results.set(name, await measure(name, agent, yard));
    } finally {
      await agent.stop();
    }
  }
  print(results);
} finally {
  await domnet.stop();
}
