import { setTimeout as sleep } from 'node:timers/promises';
import { nameOf } from '../walk/addresses.js';
import { type Rest, untouched } from '../walk/check.js';
import {
  begin,
  isConnected,
  type Model,
  type Step,
  type StepKind,
  topologies,
  vifOf,
} from '../walk/model.js';
import { probes } from '../walk/probes.js';
import { Random } from '../walk/random.js';
import { draw } from '../walk/schedule.js';
import { unmet } from '../walk/spec.js';
import { type About, about, after } from '../walk/steps.js';
import type { Scenario } from './scenario.js';
import { WalkedHost, type XenStep } from './walked-host.js';
import { makeWalkedNetworks, unmakeWalkedNetworks } from './walked-networks.js';

/*
 * test/walk on a real Xen host: dom0 does one thing after another to eight guests on all four networks, drawn at random,
 * and after each everything in domnet must be what the walk's specification says, every guest must reach what it may and
 * nothing else, and nothing of the other guests may have been touched.
 *
 *   WALK_MINUTES=60   how long; 5 without it
 *   WALK_SEED=7       the same steps as the run that told this seed
 */

const guestsInAll = 8;
/** How long an emulated host may take after a step until all is as it should be, in ms. */
const withinMs = 120_000;
/** The walk's numbers have room for so many domains. */
const lastDomid = 99;

/** What of test/walk dom0, guests and systemd do on a Xen host, and what each of libxl and netfront does not take. */
const choice = {
  kinds: ['come', 'go', 'rewrite', 'reconnect', 'vifd'] satisfies StepKind[],
  topologies,
  skip: ['othermac', '"stop"', '"kill"', '"ip6":"2001:db8:30'],
};

/** The next step; dom0 takes back a vif that comes and is refused, so that none is drawn. */
function next(random: Random, model: Model): XenStep {
  const there = model.vifs.filter(({ present }) => present);
  if (there.length > 0 && random.chance(0.12)) {
    const { slot } = random.pick(there);
    const isLast = Math.max(...model.vifs.map((vif) => vif.slot)) >= lastDomid;
    return { do: isLast || random.chance(0.4) ? 'pause' : 'reborn', vif: slot };
  }
  for (;;) {
    const step = draw(random, model, choice);
    if (step.do !== 'come' || isConnected(vifOf(after(model, step), step.vif))) return step;
  }
}

/** The model with another guest in place of one, or with one more. */
function withGuest(model: Model, slot: number, instead?: number): Model {
  const [fresh] = begin(1).vifs;
  if (fresh === undefined) throw new Error('a model of one vif has none');
  const others = model.vifs.filter((vif) => vif.slot !== instead);
  return { ...model, vifs: [...others, { ...fresh, slot, name: nameOf(slot) }] };
}

/** What a step is in the walk's own words. */
function inWalk(step: XenStep): Step {
  if (step.do === 'reborn') return { do: 'force', vif: step.vif, first: 'directory' };
  return step.do === 'pause' ? { do: 'quiet' } : step;
}

/**
 * Waits until all is as it should be, and looks that what a step is not about was left alone. What it waits for is told.
 * @returns the state then
 */
async function settled(walked: WalkedHost, scope: About, before: Rest, model: Model): Promise<Rest> {
  let problems: readonly string[] = [];
  const began = Date.now();
  let told = '';
  for (const end = began + withinMs; Date.now() < end; await sleep(500)) {
    const said = problems.join('; ');
    if (said !== told) process.stderr.write(`  ${Date.now() - began} ms: ${said}\n`);
    told = said;
    await walked.configure(model);
    problems = statuses(walked, model);
    if (problems.length > 0) continue;
    const snapshot = await walked.snapshot();
    problems = unmet(model, snapshot, rules);
    if (problems.length > 0) continue;
    problems = await walked.probe(probes(model));
    if (problems.length > 0) continue;
    const touched = untouched(before, { model, snapshot }, scope, []);
    if (touched !== undefined) throw new Error(touched.lines.join('\n'));
    return { model, snapshot };
  }
  throw new Error(problems.join('\n'));
}

/** The rules that all vifs share, as they were seen first. */
const rules = new Map<string, string>();

function statuses(walked: WalkedHost, model: Model): string[] {
  return model.vifs.flatMap(({ slot, present, status }) => {
    const stored = walked.stored(slot);
    if (!present) return stored === undefined ? [] : [`${nameOf(slot)} has a directory, and should be gone`];
    const isAs = status === 'pending' ? stored?.status !== 'connected' : stored?.status === status;
    return isAs
      ? []
      : [`${nameOf(slot)} is "${stored?.status}" (${stored?.error ?? 'no error'}), should be ${status}`];
  });
}

async function walk(walked: WalkedHost): Promise<string> {
  const seed = Number(process.env.WALK_SEED ?? Math.floor(Math.random() * 1e6));
  const end = Date.now() + Number(process.env.WALK_MINUTES ?? 5) * 60_000;
  const random = new Random(seed);
  const counts = new Map<string, number>();
  const took: number[] = [];
  let model: Model = { ...begin(0), kernelDatapath: true };
  for (let n = 0; n < guestsInAll; n++) model = withGuest(model, await walked.create());
  let rest: Rest = { model, snapshot: await walked.snapshot() };
  while (Date.now() < end) {
    const step = next(random, model);
    const began = Date.now();
    try {
      await walked.perform(step, model);
      const asWalked = inWalk(step);
      model = after(rest.model, asWalked);
      const scope = about(asWalked, rest.model, model);
      if (step.do === 'reborn') model = withGuest(model, await walked.create(), step.vif);
      rest = await settled(walked, scope, rest, model);
    } catch (error) {
      const where = `seed ${seed}, step ${took.length + 1}, ${JSON.stringify(step)}`;
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
    took.push(Date.now() - began);
    counts.set(step.do, (counts.get(step.do) ?? 0) + 1);
    process.stderr.write(`step ${took.length}, ${took.at(-1)} ms: ${JSON.stringify(step)}\n`);
  }
  const median = [...took].sort((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN;
  const kinds = [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
  return `seed ${seed}: ${took.length} steps (${kinds}), each checked after ${(median / 1000).toFixed(1)} s in the median`;
}

export const walks: readonly Scenario[] = [
  {
    name: 'random actions of dom0 on 8 guests on all four networks',
    only: 'vifd',
    fault: true,
    async run(host) {
      const walked = new WalkedHost(host);
      await makeWalkedNetworks(host);
      try {
        await walked.prepare();
        return await walk(walked);
      } finally {
        await host.endGuests();
        await walked.end();
        await unmakeWalkedNetworks(host);
      }
    },
  },
];
