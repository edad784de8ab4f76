import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { document } from './document.js';
import { type Results, worsened } from './results.js';
import { rows } from './rows.js';
import { table } from './table.js';

// `npm run bench`: how fast vifd is, beside the stock scripts and a floor in C. docs/develop/benchmarks.md says what the figures mean.

const usage = `npm run bench -- [options]
  --quick           half a minute: what is measured beside 1,000 vifs is left out
  --json FILE       the figures, for --compare
  --from FILE       the figures of --json instead of measuring
  --compare FILE    exit status 1 when a ratio is a quarter worse than in this file
  --write           replaces the table and the plots in docs/develop
  --before MAIN.JS  another build of vifd instead of the stock scripts
  --config TOML     the configuration of vifd, and not of that`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    json: { type: 'string' },
    from: { type: 'string' },
    compare: { type: 'string' },
    write: { type: 'boolean' },
    before: { type: 'string' },
    config: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(usage);
  process.exit();
}
const read = (file: string): Results => JSON.parse(readFileSync(file, 'utf8')) as Results;
const before = values.compare === undefined ? undefined : read(values.compare);
const results = values.from === undefined ? await measure() : read(values.from);
console.log(table(results));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results)}\n`);
if (values.write) for (const [file, content] of document(results)) writeFileSync(file, content);
const worse = before === undefined ? [] : worsened(before.samples, results.samples);
for (const { row, before, now } of worse)
  console.log(`worse: ${rows[row]?.title} (${row}): ${before.toFixed(2)} before, ${now.toFixed(2)} now`);
if (worse.length > 0) process.exitCode = 1;

/** Runs the measurement so that nothing of it stays on the machine, and the documents can be written afterwards. */
async function measure(): Promise<Results> {
  const given = (['before', 'config'] as const).flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  const child = spawn(
    fileURLToPath(new URL('../contained', import.meta.url)),
    [
      process.execPath,
      '--import',
      'tsx',
      fileURLToPath(new URL('measure.ts', import.meta.url)),
      ...(values.quick ? ['--quick'] : []),
      ...given,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
  );
  // It ends by itself, and leaves nothing behind.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  const exit = once(child, 'exit');
  const output = await text(child.stdout);
  const [status] = await exit;
  if (status !== 0) throw new Error(`the measurement ended with status ${status}`);
  return JSON.parse(output) as Results;
}
