import { parseArgs } from 'node:util';
import { printed, readCorpus, writeCorpus } from './corpus.js';
import { Coverage } from './coverage.js';
import { Found, fuzz } from './engine.js';
import { randomOf } from './mutate.js';
import { targets } from './targets.js';

const usage = `npm run fuzz -- [options]
  --target LIST   of ${targets.map(({ name }) => name).join(',')} (default: all)
  --runs N        inputs of each (default 100000)
  --seed N        where they begin (default: from the clock)
Inputs that reach new code are added to test/fuzz/corpus, which the unit tests run. The threads in C have test/fuzz/c/run.`;

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: targets.map(({ name }) => name).join(',') },
    runs: { type: 'string', default: '100000' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<number> {
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  const names = values.target.split(',');
  const unknown = names.find((name) => !targets.some((target) => target.name === name));
  if (unknown !== undefined || !/^\d+$/.test(values.runs)) {
    console.error(usage);
    return 64;
  }
  for (const target of targets.filter(({ name }) => names.includes(name))) {
    const coverage = await Coverage.start();
    const began = performance.now();
    const corpus = [...target.seeds.map((each) => Buffer.from(each)), ...readCorpus(target.name)];
    try {
      const kept = await fuzz(target, corpus, coverage, randomOf(seed), Number(values.runs));
      writeCorpus(target.name, kept);
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      console.log(
        `${target.name}: ${values.runs} inputs from seed ${seed} in ${seconds} s, ${coverage.size} blocks, corpus ${kept.length}`,
      );
    } catch (error) {
      if (!(error instanceof Found)) throw error;
      console.error(`${target.name}, seed ${seed}: ${error.message}\nthe input:\n${printed(error.input)}`);
      return 1;
    } finally {
      coverage.close();
      await target.close?.();
    }
  }
  return 0;
}

process.exitCode = await main();
