import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { attachedTo, pingBetween } from '../../support/net/ping.js';
import { exec } from '../../support/process/exec.js';

/** BR_MAX_PORTS less one: the number 0 is no port's (find_portno in net/bridge/br_if.c). */
const most = 1023;

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterAll(() => domnet.stop());

test('a bridge without room for one more port: the reason is told, and the vif is attached when there is room', async () => {
  const daemon = await domnet.vifd();
  const beside = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })] as const;
  for (const vif of beside) await vif.connected();
  const ping = await pingBetween(...beside);
  // Of a pair both ends are ports, and down, so that they cost little.
  const pairs = Array.from({ length: (most - 3) / 2 }, (_, i) => [`a${i}`, `b${i}`]);
  const input = pairs
    .flatMap(([a, b]) => [
      `link add ${a} type veth peer name ${b}`,
      ...[a, b].map((end) => `link set ${end} master xenbr0`),
    ])
    .join('\n');
  await exec('ip', ['-n', domnet.namespace, '-b', '-'], { input: `${input}\n` });

  const last = await domnet.plug({ domid: 7 });
  await last.connected();
  const beyond = await domnet.plug({ domid: 8 });
  await beyond.status('error');
  expect(await beyond.read('hotplug-error')).toBe(
    'run ip link set dev vif8.0 master xenbr0 up: there is no room for one more; a bridge takes 1,023 ports (EXFULL)',
  );
  expect((await domnet.link(beyond.name))?.flags).not.toContain('UP');
  await last.unplug();
  await beyond.connected();
  await attachedTo(beyond, 'xenbr0');
  expect(await beyond.read('hotplug-error')).toBeUndefined();
  expect(daemon.log.filter(({ vif, level }) => vif === 'vif5.0' && level !== 'info')).toEqual([]);
  expect((await ping.stop()).lost).toBe(0);
});
