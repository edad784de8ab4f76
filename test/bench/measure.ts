import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Domnet } from '../support/net/domnet.js';
import { measureAttach } from './measure/attach.js';
import { measureCounts } from './measure/counts.js';
import { measureDatapath } from './measure/datapath.js';
import { measureMany, measureNat } from './measure/many.js';
import { measureStart } from './measure/start.js';
import { measureTimeline } from './measure/timeline.js';
import type { Results } from './results.js';
import { Scene } from './scene.js';
import { Session } from './session.js';

// Measures, and prints the results as JSON; `bench.ts` runs it in `test/contained` and makes tables of that.

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, before: { type: 'string' }, config: { type: 'string' } },
});
const { quick = false, before, config } = values;
const load = loadavg()[0] as number;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));

const domnet = await Domnet.start();
try {
  const scene = await Scene.make(domnet, interrupted.signal);
  const session = new Session(domnet, scene, { quick, before, config });
  // Some stand beside from the beginning: what the first vif needs is there, as on a machine at work.
  const daemon = await domnet.vifd();
  await scene.surround('ipv4', 4);
  await scene.surround('nat', 4);
  await daemon.terminate();

  const turns = quick || before !== undefined ? 1 : 3;
  for (session.turn = 0; session.turn < turns; session.turn++) {
    await measureStart(session);
    await measureAttach(session);
  }
  session.turn = 0;
  await measureCounts(session);
  const timeline = await measureTimeline(session);
  if (!quick && before === undefined) {
    await measureMany(session);
    await scene.alone();
    await measureNat(session);
    await measureDatapath(session);
  }
  const results: Results = { machine: machine(), samples: session.samples, timeline };
  process.stdout.write(`${JSON.stringify(results)}\n`);
} finally {
  await domnet.stop();
}

function machine(): string {
  const name = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  const today = new Date().toISOString().slice(0, 10);
  return `${availableParallelism()} CPUs (${name}), Linux ${release()}, Node ${process.version}, load average ${load.toFixed(1)} before, ${today}.`;
}
