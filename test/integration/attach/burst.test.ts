import { afterAll, beforeAll, expect, test } from 'vitest';
import { addNetdevs, allConnected } from '../../support/net/crowd.js';
import { Domnet, Vif, type Vifd } from '../../support/net/domnet.js';
import { attachedTo } from '../../support/net/ping.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  daemon = await domnet.vifd({ config: '[log]\nlevel = "trace"' });
});
afterAll(() => domnet.stop());

const looks = (vif: Vif): number =>
  daemon.log.filter((line) => line.msg === 'reconciling vif' && line.vif === vif.name).length;

/** An event that came after all others has been seen to. */
async function overtaken(vif: Vif, mtu: string): Promise<void> {
  await vif.write({ mtu });
  await until('the MTU', async () => (await domnet.link(vif.name))?.mtu === Number(mtu));
}

test('events of keys that decide nothing cause no look', async () => {
  const vif = await domnet.plug({ domid: 1 });
  await overtaken(vif, '1400');
  const before = looks(vif);
  await Promise.all(
    Array.from({ length: 2000 }, (_, i) => domnet.xenstore.write(`${vif.backend}/feature-${i % 12}`, `${i}`)),
  );
  await overtaken(vif, '1401');
  // The mtu's event, and those of the change itself: what the link says, and the bridge behind it.
  expect(looks(vif) - before).toBeLessThan(20);
});

test('events of keys that decide fold: those of a storm cause a look or two', async () => {
  const vif = await domnet.plug({ domid: 2 });
  await overtaken(vif, '1400');
  const before = looks(vif);
  process.kill(daemon.pid, 'SIGSTOP');
  try {
    await Promise.all(
      Array.from({ length: 1000 }, () => domnet.xenstore.write(`${vif.backend}/bridge`, 'xenbr0')),
    );
  } finally {
    process.kill(daemon.pid, 'SIGCONT');
  }
  await overtaken(vif, '1401');
  expect(looks(vif) - before).toBeLessThan(50);
});

test('its own changes are no storm', async () => {
  const vif = await domnet.plug({ domid: 3 });
  await vif.connected();
  await overtaken(vif, '1400');
  expect(looks(vif)).toBeLessThan(30);
});

test('more news of links than the kernel keeps for it: it reads everything anew', async () => {
  const vif = await domnet.plug({ domid: 4 });
  await vif.connected();
  await domnet.ip('link add noisy type bridge');
  const noise = Array.from({ length: 10_000 }, (_, i) => `link set noisy mtu ${1000 + (i % 2)}\n`);
  /** The column "Drops", of all netlink sockets in this namespace. */
  const dropped = async () =>
    (await exec('cat', [`/proc/${daemon.pid}/net/netlink`]))
      .split('\n')
      .slice(1)
      .some((socket) => Number(socket.trim().split(/\s+/)[8]) > 0);
  process.kill(daemon.pid, 'SIGSTOP');
  try {
    await until(
      'the kernel to drop news',
      async () => {
        await exec('ip', ['-n', domnet.namespace, '-batch', '-'], { input: noise.join('') });
        return await dropped();
      },
      30_000,
    );
    // Of what comes now no event is sent.
    await domnet.ip(`link set ${vif.name} nomaster`);
  } finally {
    process.kill(daemon.pid, 'SIGCONT');
  }
  await attachedTo(vif, 'xenbr0');
  const other = await domnet.plug({ domid: 5 });
  await other.connected();
});

test('200 vifs plugged at once all come up, and go', async () => {
  const vifs = Array.from({ length: 200 }, (_, i) => new Vif(domnet, 1000 + i, 0));
  const devices = Promise.all(vifs.map(({ domid }) => domnet.writeDevice({ domid })));
  await Promise.all([devices, addNetdevs(vifs, { carrier: false })]);
  await Promise.all(vifs.map((vif) => vif.setState(2)));
  await allConnected(vifs);
  const ports = JSON.parse(await domnet.ip('-j link show master xenbr0 up')) as { ifname: string }[];
  const names = new Set(ports.map(({ ifname }) => ifname));
  expect(vifs.filter((vif) => !names.has(vif.name))).toEqual([]);
  expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);

  await Promise.all(vifs.map((vif) => vif.write({ online: '0', state: '6' })));
  await until(
    'their deletion',
    async () => (await Promise.all(vifs.map((vif) => vif.exists()))).every((exists) => !exists),
    30_000,
  );
});
