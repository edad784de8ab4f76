import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { Foreign } from '../../support/net/foreign-table.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

test("a table that is another's: no look without a pause, and attached when it goes", async () => {
  const foreign = await Foreign.table(domnet);
  try {
    const daemon = await domnet.vifd({ config: '[log]\nlevel = "trace"\n' });
    const vifs = [];
    for (const domid of [5, 6, 7]) vifs.push(await domnet.plug({ domid, keys: { ip: `10.0.0.${domid}` } }));
    for (const vif of vifs) await vif.status('error');
    const before = daemon.reconciliations;
    const since = performance.now();
    await until('a second', () => performance.now() - since > 1000);
    expect(daemon.reconciliations - before).toBeLessThanOrEqual(12);
    foreign.end();
    for (const vif of vifs) await vif.connected();
  } finally {
    foreign.end();
  }
});
