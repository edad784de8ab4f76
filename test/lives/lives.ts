import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Domnet } from '../support/net/domnet.js';
import { bridges, connectUplink } from '../support/net/guests.js';
import { type Census, slack, takeCensus } from './census.js';
import { costOf } from './cost.js';
import { garbageIn } from './garbage.js';
import { Population } from './population.js';
import { wakesOf } from './rest.js';

// What the lives of thousands of guests leave: a daemon serves some at once, then lives come and go in batches, and after each
// thousand it is counted what the daemon and its host have. Then how often it wakes at rest. Exits with 1 where something grew.

const { values } = parseArgs({
  options: {
    vifs: { type: 'string', default: '1000' },
    lives: { type: 'string', default: '20000' },
    batch: { type: 'string', default: '100' },
    /** Seconds at rest, with 50 vifs. */
    rest: { type: 'string', default: '60' },
    /** A directory for a heap snapshot at each count. */
    snapshots: { type: 'string' },
    /** Prints what the first thousand lives allocate, and where. */
    garbage: { type: 'boolean', default: false },
    /** Lines for vifd.toml. */
    config: { type: 'string', default: '' },
  },
});
const [vifs, lives, batch, rest] = [values.vifs, values.lives, values.batch, values.rest].map(Number) as [
  number,
  number,
  number,
  number,
];
/** How long after the last change the rest begins, in ms. */
const settleMs = 10_000;

/** Not in the directory of the daemon, whose files are counted. */
const garbage = values.garbage ? mkdtempSync(join(tmpdir(), 'vifd-garbage-')) : undefined;
const domnet = await Domnet.start();
try {
  await connectUplink(domnet);
  await domnet.addBridge(bridges.bridge);
  const probe = join(domnet.dir, 'probe');
  const preload = fileURLToPath(new URL('probe.mjs', import.meta.url));
  const daemon = await domnet.vifd({
    config: values.config,
    env: {
      NODE_OPTIONS: `--import=${preload}`,
      VIFD_PROBE: probe,
      ...(values.snapshots === undefined ? {} : { VIFD_SNAPSHOTS: values.snapshots }),
      ...(garbage === undefined ? {} : { VIFD_GARBAGE: garbage }),
    },
  });
  const population = await Population.of(domnet);
  const seen: [string, Census][] = [];
  const count = async (when: string): Promise<void> => {
    // Its log is kept by the test, and not by the daemon.
    daemon.log.length = 0;
    const census = await takeCensus(domnet, daemon, probe);
    seen.push([when, census]);
    const shown = Object.entries(census).map(([what, number]) => `${what} ${number}`);
    console.log(`${Math.round(process.uptime())} s, ${when}: ${shown.join(', ')}`);
  };
  const live = async (many: number): Promise<void> => {
    for (let done = 0; done < many; done += batch)
      await population.go(await population.come(Math.min(batch, many - done)));
  };

  await count('at the start');
  await live(batch);
  await count(`after ${batch} lives`);
  if (vifs > 0) {
    const all = await population.come(vifs);
    await count(`with ${vifs} vifs`);
    for (const path of [`/status/vif${all[0]}.0`, '/status', '/events'])
      console.log(`${path}: ${(await costOf(domnet, daemon.pid, path)).toFixed(1)} ms of CPU each`);
    await population.go(all);
    await count(`after ${vifs} vifs`);
  }
  await live(Math.min(1000, lives));
  await count('after 1000 lives');
  if (garbage !== undefined) {
    const { total, largest } = garbageIn(`${garbage}/${seen.length}.heapprofile`);
    const shown = (bytes: number): string => `${(bytes / 1024 / Math.min(1000, lives)).toFixed(1)} kB`;
    console.log(`a life allocates ${shown(total)} on the heap, of which`);
    for (const [where, bytes] of largest) console.log(`  ${shown(bytes)} ${where}`);
  }
  for (let done = 1000; done < lives; done += 1000) {
    await live(1000);
    if (done % 5000 === 4000 || done + 1000 >= lives) await count(`after ${done + 1000} lives`);
  }
  const [, first] = seen.find(([when]) => when === 'after 1000 lives') ?? (seen[0] as [string, Census]);
  const [, last] = seen.at(-1) as [string, Census];
  const grown = Object.keys(last).filter(
    (what) => (last[what] ?? 0) - (first[what] ?? 0) > (slack[what] ?? 0),
  );
  if (grown.length > 0) {
    console.error(`grown from the first thousand lives to the last: ${grown.join(', ')}`);
    process.exitCode = 1;
  }
  if (rest > 0) {
    const few = await population.come(50);
    // Announcements are repeated for seconds, and IPv6 looks for twins of its addresses.
    await sleep(settleMs);
    const wakes = await wakesOf(daemon.pid, rest);
    const sum = wakes.reduce((all, { times }) => all + times, 0);
    console.log(
      `at rest with 50 vifs, ${sum} wake-ups in ${rest} s: ${wakes.map(({ thread, times }) => `${thread} ${times}`).join(', ')}`,
    );
    await population.go(few);
  }
} finally {
  await domnet.stop();
  if (garbage !== undefined) rmSync(garbage, { recursive: true });
}
