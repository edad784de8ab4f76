import { parseArgs } from 'node:util';
import { Domnet } from '../support/net/domnet.js';
import { type Attacked, attack } from './attack.js';
import { type Attacker, attackers } from './attackers.js';
import { compare, type Kernel, type Tally } from './compare.js';
import { type Difference, told } from './difference.js';
import { countInputs } from './inputs.js';
import { shrink } from './shrink.js';

const kinds = ['bridge', 'openvswitch', 'route', 'nat'] as const;
const usage = `npm run frames -- [options]
  --topology LIST   of ${kinds.join(',')} (default: all)
  --frames N        frames on each topology (default 20000)
  --seed N          where the frames begin (default: from the clock)
  --replay HEX      this frame of each guest, as it is printed for a difference; may be given more than once
  --show N          differences that are shrunk and printed, of each reason (default 2)
  --verbose         what decided, and how often`;

const { values } = parseArgs({
  options: {
    topology: { type: 'string', default: kinds.join(',') },
    frames: { type: 'string', default: '20000' },
    seed: { type: 'string' },
    replay: { type: 'string', multiple: true, default: [] },
    show: { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => console.log(line);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const kernelOf =
  ({ probe }: Attacker): Kernel =>
  (frames) =>
    probe.passes(frames);

/** Some of each reason are enough to see what is wrong. */
async function report({ differences, attacker }: Attacked): Promise<void> {
  const byReason = new Map<string, Difference[]>();
  for (const difference of differences) {
    const reason = `${difference.kernel} ${difference.promise.because}`;
    byReason.set(reason, [...(byReason.get(reason) ?? []), difference]);
  }
  for (const alike of byReason.values()) {
    say(`\n${attacker.name}, ${alike.length} alike`);
    for (const difference of alike.slice(0, Number(values.show)))
      say(told(await shrink(difference, attacker.around, kernelOf(attacker))));
  }
}

async function replay(all: readonly Attacker[]): Promise<Attacked[]> {
  const frames = values.replay.map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const attacked: Attacked[] = [];
  for (const attacker of all) {
    const differences = await compare(frames, attacker.around, kernelOf(attacker));
    attacked.push({ attacker, differences });
  }
  return attacked;
}

/** @returns the number of differences */
async function run(kind: (typeof kinds)[number]): Promise<number> {
  const domnet = await Domnet.start();
  try {
    const all = await attackers(domnet, kind);
    const inputs = await countInputs(domnet);
    const tally: Tally = { frames: 0, passed: 0, because: new Map() };
    const began = performance.now();
    const attacked =
      values.replay.length > 0
        ? await replay(all)
        : await attack(all, { frames: Number(values.frames), seed }, tally);
    const seconds = (performance.now() - began) / 1000;
    for (const one of attacked) await report(one);
    let wrong = attacked.reduce((sum, { differences }) => sum + differences.length, 0);
    if (kind === 'route' || kind === 'nat') {
      const reached = await inputs();
      wrong += reached.wrong;
      say(`${reached.came} packets for the driver domain itself, ${reached.wrong} let in that should not be`);
    }
    say(
      `${kind}, seed ${seed}: ${tally.frames} frames of ${all.length} guests in ${seconds.toFixed(0)} s, ${tally.passed} passed, ${wrong} differences`,
    );
    if (values.verbose) {
      const often = [...tally.because].sort(([, a], [, b]) => b - a);
      for (const [because, count] of often) say(`  ${count} ${because}`);
    }
    return wrong;
  } finally {
    await domnet.stop();
  }
}

if (values.help) say(usage);
else {
  const chosen = values.topology.split(',');
  const unknown = chosen.filter((one) => !(kinds as readonly string[]).includes(one));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known are ${kinds.join(', ')}`);
  let wrong = 0;
  for (const kind of kinds.filter((one) => chosen.includes(one))) wrong += await run(kind);
  process.exitCode = wrong > 0 ? 1 : 0;
}
