import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterAll(() => domnet.stop());

const listen = (name: string): string => `[metrics]\nlisten = "unix:${domnet.dir}/${name}"\n`;

test('many signals to reload: one reload at a time, and the last configuration is in force', async () => {
  const daemon = await domnet.vifd({ config: listen('first') });
  const vifs = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })];
  for (const vif of vifs) await vif.connected();
  for (let i = 0; i < 40; i++) {
    writeFileSync(join(domnet.dir, 'vifd.toml'), listen(`at${i}`));
    daemon.hangUp();
    await new Promise(setImmediate);
  }
  await until('the last', () =>
    exec('curl', ['-sf', '--unix-socket', `${domnet.dir}/at39`, 'http://vifd/metrics']).then(
      (text) => text.includes('vifd_vifs{state="attached"} 2'),
      () => false,
    ),
  );
  expect(daemon.log.filter(({ msg }) => msg === 'configuration not reloaded')).toEqual([]);
  for (let i = 0; i < 39; i++)
    await expect(
      exec('curl', ['-sf', '--unix-socket', `${domnet.dir}/at${i}`, 'http://vifd/metrics']),
    ).rejects.toThrow();
  expect((await domnet.command('status')).status).toBe(0);
});
