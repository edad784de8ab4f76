import { expect, test } from 'vitest';
import { readCorpus } from '../fuzz/corpus.js';
import { runOne } from '../fuzz/engine.js';
import { targets } from '../fuzz/targets.js';

// What `npm run fuzz` has found to reach all there is in a decoder, run again.

test.each(targets)('the corpus of $name', async (target) => {
  const corpus = [...target.seeds.map((seed) => Buffer.from(seed)), ...readCorpus(target.name)];
  expect(corpus.length).toBeGreaterThan(target.seeds.length);
  try {
    for (const input of corpus) await runOne(target, input);
  } finally {
    await target.close?.();
  }
});
