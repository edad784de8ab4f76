import { describe, expect, test } from 'vitest';
import { printAction } from '../../src/plan/print/print.js';
import { caseFile, caseNames, readCase, run } from '../cases/case.js';
import { Machine } from '../fake/machine.js';

// `vitest run --project unit -u` writes plan.txt and status.json anew; review the difference before committing it.
describe.each(caseNames())('%s', (name) => {
  const given = readCase(name);

  test('is planned and told as its folder says', async () => {
    const { actions, status } = run(given, new Machine(given));
    const plan = actions.map((action) => `${printAction(action)}\n`).join('');
    await expect(plan).toMatchFileSnapshot(caseFile(name, 'plan.txt'));
    await expect(`${JSON.stringify(status, null, 2)}\n`).toMatchFileSnapshot(caseFile(name, 'status.json'));
  });

  test('leaves nothing to do afterwards', () => {
    const machine = new Machine(given);
    run(given, machine);
    expect(run(given, machine).actions).toEqual([]);
  });
});
