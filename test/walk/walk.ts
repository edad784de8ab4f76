import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Patience } from './check.js';
import { type NatNetwork, type Step, type StepKind, type Topology, topologies } from './model.js';
import { Random } from './random.js';
import { replay, type Walked, walk } from './run.js';
import { draw, stepKinds } from './schedule.js';
import { shorten } from './shorten.js';
import { vifdMain } from './walked-daemon.js';

const usage = `npm run walk -- [options]
  --seed N           the first seed (default: from the clock); the next is one more
  --steps N          steps of one seed (default 200)
  --minutes M        seed after seed for so long (default: one seed)
  --vifs N           6 to 20 (default: from the seed)
  --nat-network N    [nat] network, stock or small (default: from the seed)
  --only KINDS       only these kinds of steps: ${stepKinds.join(',')}
  --without KINDS    all but these
  --skip LIST        no steps that have one of these in their JSON, such as 'dormant' or '"mtu"'
  --topologies LIST  of bridge,openvswitch,route,nat
  --replay SCHEDULE  the JSON that is printed when a seed fails, or a file of it
  --within MS        how long the daemon has after a step (default 1000)
  --late MS          how long is waited for what is late (default 3000)
  --shorten SECONDS  how long to look for a shorter schedule that fails (default 240, of a replay 0)
  --tries N          how often a shorter schedule is tried before it counts as one that passes (default 2)
  --autopsy COMMAND  run by a shell in the driver domain when a walk has failed, before it goes
  --keep-going       with --minutes, go on after a seed that failed
  --vifd PATH        the daemon's main.js (default: this build's)
  --verbose          each step`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    steps: { type: 'string', default: '200' },
    minutes: { type: 'string' },
    vifs: { type: 'string' },
    'nat-network': { type: 'string' },
    only: { type: 'string' },
    without: { type: 'string' },
    topologies: { type: 'string' },
    skip: { type: 'string' },
    replay: { type: 'string' },
    within: { type: 'string', default: '1000' },
    late: { type: 'string', default: '3000' },
    shorten: { type: 'string' },
    autopsy: { type: 'string' },
    tries: { type: 'string', default: '2' },
    'keep-going': { type: 'boolean', default: false },
    vifd: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
}

if (values.vifd !== undefined) process.env.WALK_VIFD = values.vifd;
const patience: Patience = { within: Number(values.within), late: Number(values.late) };
const say = (line: string): void => console.log(line);

function listOf<T extends string>(text: string | undefined, known: readonly T[]): T[] {
  const words = (text ?? '').split(',').filter((word) => word !== '');
  const unknown = words.filter((word) => !(known as readonly string[]).includes(word));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known are ${known.join(', ')}`);
  return words as T[];
}

const only = listOf(values.only, stepKinds);
const without = listOf(values.without, stepKinds);
const skip = (values.skip ?? '').split(',').filter((part) => part !== '');
const chosen: readonly Topology[] =
  values.topologies === undefined ? topologies : listOf(values.topologies, topologies);
const ofSwitch: readonly StepKind[] = chosen.includes('openvswitch') ? [] : ['ovsdb', 'vswitchd'];
const kinds = (only.length > 0 ? only : stepKinds).filter(
  (kind) => !without.includes(kind) && !ofSwitch.includes(kind),
);

interface Totals {
  steps: number;
  seeds: number;
  failed: number;
  readonly kinds: Map<StepKind, number>;
  readonly settling: number[];
}
const totals: Totals = { steps: 0, seeds: 0, failed: 0, kinds: new Map(), settling: [] };

function count(walked: Walked): void {
  totals.seeds++;
  totals.steps += walked.steps.length;
  for (const [kind, number] of walked.counts) totals.kinds.set(kind, (totals.kinds.get(kind) ?? 0) + number);
  totals.settling.push(...walked.settling);
}

async function walkSeed(seed: number): Promise<boolean> {
  const random = new Random(seed);
  const vifs = values.vifs === undefined ? 6 + random.below(15) : Number(values.vifs);
  const steps = Number(values.steps);
  const [given] = listOf(values['nat-network'], ['stock', 'small']);
  const natNetwork = given ?? (seed % 3 === 0 ? 'small' : 'stock');
  const began = performance.now();
  let taken = 0;
  const walked = await walk({
    vifs,
    natNetwork,
    patience,
    signal: interrupted.signal,
    autopsy: values.autopsy,
    openvswitch: chosen.includes('openvswitch'),
    next: (model) => (taken++ < steps ? draw(random, model, { kinds, topologies: chosen, skip }) : undefined),
    progress: (number, step) => {
      if (values.verbose) say(`  ${number} ${JSON.stringify(step)}`);
      else if (number % 100 === 0)
        say(`  seed ${seed}: ${number} of ${steps} steps, ${perSecond(number, began)}`);
    },
  });
  count(walked);
  const { rss } = walked;
  const memory = walked.failure === undefined ? `, vifd ${rss[0].toFixed(0)} to ${rss[1].toFixed(0)} MB` : '';
  say(
    `seed ${seed}, ${vifs} vifs, ${natNetwork}: ${walked.steps.length} steps, ${perSecond(walked.steps.length, began)}${memory}${walked.failure === undefined ? '' : ', FAILED'}`,
  );
  if (walked.failure === undefined) return true;
  totals.failed++;
  report(walked, `seed ${seed}`);
  await shortest(walked, { vifs, natNetwork, seed }, Number(values.shorten ?? 240));
  return false;
}

const perSecond = (steps: number, began: number): string =>
  `${((1000 * steps) / (performance.now() - began)).toFixed(1)} a second`;

function report({ steps, failure, log }: Walked, of: string): void {
  say(`\n${of}, step ${steps.length}: ${JSON.stringify(steps.at(-1))}`);
  say(`rule "${failure?.rule}" does not hold:`);
  for (const line of failure?.lines.slice(0, 30) ?? []) say(`  ${line}`);
  say('the daemon said last:');
  for (const line of log) say(`  ${line.slice(0, 600)}`);
}

/** The fewest steps that break the same rule, within the time there is. */
async function shortest(
  { steps, failure }: Walked,
  begun: { readonly vifs: number; readonly natNetwork: NatNetwork | undefined; readonly seed?: number },
  seconds: number,
): Promise<void> {
  say(`\nthe schedule: ${JSON.stringify({ ...begun, steps })}`);
  if (seconds === 0) return;
  const end = performance.now() + 1000 * seconds;
  let best: Walked | undefined;
  await shorten(
    steps,
    async (candidate) => {
      // What hangs on a race does not come each time.
      for (let tries = 0; tries < Number(values.tries) && performance.now() < end; tries++) {
        const again = await replay(candidate, { ...begun, patience, signal: interrupted.signal });
        if (again.failure?.rule !== failure?.rule) continue;
        if (best === undefined || again.steps.length < best.steps.length) best = again;
        return true;
      }
      return false;
    },
    { shorter: (length) => say(`  ${length} steps do it`), enough: () => performance.now() > end },
  );
  if (best === undefined) {
    say('no shorter schedule was found that fails');
    return;
  }
  report(best, 'shortened');
  say(`\nthe shortest schedule found, for --replay:\n${JSON.stringify({ ...begun, steps: best.steps })}\n`);
}

async function replayGiven(given: string): Promise<boolean> {
  const text = given.startsWith('{') ? given : readFileSync(given, 'utf8');
  const { vifs, natNetwork, steps } = JSON.parse(text) as {
    vifs: number;
    natNetwork?: NatNetwork;
    steps: Step[];
  };
  const began = performance.now();
  const walked = await replay(steps, {
    vifs,
    natNetwork,
    patience,
    signal: interrupted.signal,
    autopsy: values.autopsy,
    progress: (number, step) => {
      if (values.verbose) say(`  ${number} ${JSON.stringify(step)}`);
    },
  });
  count(walked);
  say(`${walked.steps.length} of ${steps.length} steps, ${perSecond(walked.steps.length, began)}`);
  if (walked.failure === undefined) return true;
  totals.failed++;
  report(walked, 'replayed');
  await shortest(walked, { vifs, natNetwork }, Number(values.shorten ?? 0));
  return false;
}

async function all(): Promise<void> {
  if (values.replay !== undefined) {
    await replayGiven(values.replay);
    return;
  }
  const end = values.minutes === undefined ? 0 : performance.now() + 60_000 * Number(values.minutes);
  let seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  do {
    const fine = await walkSeed(seed++);
    if (!fine && !values['keep-going']) break;
  } while (performance.now() < end);
}

function summary(began: number): void {
  const sorted = [...totals.settling].sort((a, b) => a - b);
  const at = (q: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0).toFixed(0);
  const seconds = (performance.now() - began) / 1000;
  say(
    `${totals.steps} steps of ${totals.seeds} seeds in ${seconds.toFixed(0)} s, ${totals.failed} failed; at rest after ${at(0.5)} ms (median), ${at(0.99)} ms (99 %), ${at(1)} ms at most; ${availableParallelism()} CPUs, load ${loadavg()[0]?.toFixed(1)}`,
  );
  const byKind = [...totals.kinds].sort(([a], [b]) => a.localeCompare(b));
  say(byKind.map(([kind, number]) => `${kind} ${number}`).join(', '));
}

if (values.help) say(usage);
else {
  const began = performance.now();
  say(`walking ${vifdMain()}`);
  try {
    await all();
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    say(String(interrupted.signal.reason));
    totals.failed++;
  }
  summary(began);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}
