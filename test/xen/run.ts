import { parseArgs } from 'node:util';
import { type Agent, vifd, vifdPackage, xlDevd } from './agents.js';
import { apart } from './apart.js';
import { compare } from './compare.js';
import { forging } from './forging.js';
import { groups } from './groups.js';
import { guestSystems } from './guest-systems.js';
import { networkSetups } from './network-setups.js';
import { fileOf, writeChart } from './pictures.js';
import { restarts } from './restarts.js';
import { boot, rig } from './rig.js';
import type { Scenario } from './scenario.js';
import { scenarios } from './scenarios.js';
import { stubdomains } from './stubdomains.js';
import { suspensions } from './suspensions.js';
import { switches } from './switches.js';
import { topologies } from './topologies.js';
import { walks } from './walk.js';
import { XenHost } from './xen-host.js';

const help = `Usage: run [options]

Boots Xen with a driver domain in QEMU, puts vifd into it and runs the scenarios.

  --suite trixie|bookworm            Debian 13 (default), with oxenstored, or Debian 12, with the C xenstored
  --xenstored oxenstored|xenstored   the other one
  --only PATTERN                     scenarios whose name matches; for --compare, topologies too
  --short                            the short set
  --agent vifd|xl-devd               only this one
  --stock                            run the same with xl devd afterwards
  --compare                          measure both agents, and print it as Markdown
  --write                            write the charts of what was measured into docs/develop/compared
  --keep                             leave the machine up; the next run uses it
`;

const { values: options } = parseArgs({
  options: {
    suite: { type: 'string', default: 'trixie' },
    xenstored: { type: 'string' },
    only: { type: 'string' },
    short: { type: 'boolean', default: false },
    agent: { type: 'string' },
    stock: { type: 'boolean', default: false },
    compare: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
process.env.SUITE = options.suite;

const matches = (name: string) => !options.only || new RegExp(options.only, 'i').test(name);

export interface Result {
  readonly agent: Agent;
  readonly xenstored: string;
  readonly scenario: Scenario;
  readonly seconds: number;
  readonly note: string;
  readonly error: string | undefined;
}

const started = performance.now();
const say = (what: string) =>
  console.error(`[${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s] ${what}`);

async function main(): Promise<number> {
  if (options.help) {
    process.stdout.write(help);
    return 0;
  }
  const both = [vifd, xlDevd].filter(({ name }) =>
    [undefined, name.replace(' ', '-')].includes(options.agent),
  );
  const agents = options.agent || options.stock || options.compare ? both : [vifd];
  const chosen = [
    ...scenarios,
    ...topologies,
    ...forging,
    ...apart,
    ...switches,
    ...groups,
    ...stubdomains,
    ...suspensions,
    ...restarts,
    ...guestSystems,
    ...walks,
  ].filter(({ name, short }) => (!options.short || short) && matches(name));
  if (agents.length === 0 || (chosen.length === 0 && !options.compare)) throw new Error('nothing to run');
  const results: Result[] = [];
  const running = await rig(['dom0', 'cut -d= -f2 /etc/default/xen | xargs basename']).catch(() => undefined);
  if (running !== undefined) {
    say('using the machine that is up');
    if (options.xenstored && options.xenstored !== running.trim()) throw new Error(`it runs ${running}`);
    results.push(...(await runOn(running.trim(), agents, chosen)));
    return report(results, agents);
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void rig(['down']).finally(() => process.exit(1)));
  }
  const xenstored = options.xenstored ?? (options.suite === 'bookworm' ? 'xenstored' : 'oxenstored');
  say(`booting Xen of Debian ${options.suite}, ${xenstored}`);
  let keep = false;
  // The machine boots on one core. What goes wrong with this is told where the package is used.
  if (agents.includes(vifd)) vifdPackage().catch(() => undefined);
  try {
    await boot(xenstored);
    keep = options.keep;
    results.push(...(await runOn(xenstored, agents, chosen)));
  } finally {
    if (!keep) await rig(['down']);
  }
  return report(results, agents);
}

/** Runs scenarios, agent after agent, on the running machine. */
async function runOn(
  xenstored: string,
  agents: readonly Agent[],
  set: readonly Scenario[],
): Promise<Result[]> {
  const results: Result[] = [];
  for (const agent of agents) {
    say(`installing ${agent.name}`);
    const host = await XenHost.open(agent, () => agent.install());
    try {
      for (const scenario of set) {
        if (scenario.only !== undefined && scenario.only !== agent.name) continue;
        const result = await runOne(host, scenario);
        results.push({ ...result, agent, xenstored, scenario });
        const verdict = result.error === undefined ? 'ok' : 'FAILED';
        say(`${agent.name}: ${scenario.name}: ${verdict} (${result.seconds.toFixed(0)} s)`);
        if (result.error !== undefined) console.error(result.error.replace(/^/gm, '         '));
      }
    } finally {
      host.close();
    }
  }
  if (options.compare) {
    const chosen = networkSetups.filter(({ name }) => matches(name));
    const setups = chosen.length > 0 ? chosen : networkSetups;
    const { text, charts } = await compare(agents, setups, say, results);
    process.stdout.write(text);
    if (options.write) {
      for (const { name, title, bars } of charts) writeChart(name, title, 's', bars);
    }
  }
  return results;
}

async function runOne(
  host: XenHost,
  scenario: Scenario,
): Promise<Pick<Result, 'seconds' | 'note' | 'error'>> {
  const start = performance.now();
  let note = '';
  let error: string | undefined;
  try {
    const said = (await scenario.run(host)) ?? '';
    note = typeof said === 'string' ? said : said.line;
    if (options.write && typeof said !== 'string') {
      writeChart(fileOf(scenario.name), scenario.name, 's', said.spans);
    }
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
  }
  // The end of the guests is part of the scenario.
  const { left, complaints } = await host.clean(error !== undefined);
  if (complaints.length > 0 && !scenario.fault)
    error ??= `the journal has: ${complaints.slice(0, 3).join('\n')}`;
  if (left.length > 0) error ??= `left behind: ${left.join(', ')}`;
  const kernel = host.kernelTrouble();
  if (kernel.length > 0) error ??= `the kernel of domnet: ${kernel.join('\n')}`;
  return { seconds: (performance.now() - start) / 1000, note, error };
}

function report(results: readonly Result[], agents: readonly Agent[]): number {
  const lines = results.map(({ agent, xenstored, scenario, seconds, note, error }) => {
    const verdict = error === undefined ? 'ok  ' : 'FAIL';
    const why = (error ?? note).split('\n')[0] ?? '';
    return `${verdict}  ${agent.name.padEnd(8)} ${xenstored.padEnd(10)} ${seconds.toFixed(0).padStart(4)} s  ${scenario.name}${why === '' ? '' : `: ${why}`}`;
  });
  if (lines.length > 0) console.log(`\n${lines.join('\n')}\n`);
  if (options.keep) {
    const command = `SUITE=${options.suite} test/xen/rig`;
    console.log(
      `The machine is up:\n  ${command} dom0\n  ${command} domnet\n  ${command} mkguest NAME bridge=xenbr0,backend=domnet\n  ${command} guest NAME    (npm run xen leaves you a g0, with 10.9.0.9)\n  ${command} down\n`,
    );
  }
  // The stock agent runs for comparison; its failures do not fail the run.
  const ours = results.filter(({ agent }) => agent === agents[0]);
  const failed = ours.filter(({ error }) => error !== undefined).length;
  console.log(`${ours.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: Error) => {
  console.error(`run: ${error.message}`);
  return 1;
});
