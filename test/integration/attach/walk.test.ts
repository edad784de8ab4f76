import { expect, test } from 'vitest';
import type { Model, StepKind } from '../../walk/model.js';
import { Random } from '../../walk/random.js';
import { type Walked, walk } from '../../walk/run.js';
import { draw, everything } from '../../walk/schedule.js';

// A fixed part of what `npm run walk` does with ever new seeds; the steps that take seconds by themselves are left to it.

const slow: readonly StepKind[] = ['ovsdb'];

test('what dom0, netback, guests, the operator and the network do to one vif reaches no other', async () => {
  const random = new Random(1);
  let left = 110;
  const walked: Walked = await walk({
    vifs: 8,
    openvswitch: true,
    patience: { within: 1500, late: 4000 },
    signal: new AbortController().signal,
    next: (model: Model) =>
      left-- > 0
        ? draw(random, model, {
            ...everything,
            kinds: everything.kinds.filter((kind) => !slow.includes(kind)),
          })
        : undefined,
  });
  const schedule = { vifs: 8, steps: walked.steps };
  const { failure, log } = walked;
  expect(
    failure === undefined ? [] : [failure.rule, ...failure.lines],
    `--replay ${JSON.stringify(schedule)}\n${log.join('\n')}`,
  ).toEqual([]);
  expect(walked.steps.length).toBe(110);
}, 240_000);
