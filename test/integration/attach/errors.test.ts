import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { answers, attachedTo, linkOf, pingBetween } from '../../support/net/ping.js';
import type { Ping } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;
let ping: Ping;
let domid = 100;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  daemon = await domnet.vifd({ config: '[netdev]\ntimeout = 1' });
});
afterAll(() => domnet.stop());

// Two other guests talk all the time.
let good: Vif[];
beforeAll(async () => {
  good = [await domnet.plug({ domid: 1 }), await domnet.plug({ domid: 2 })];
  for (const vif of good) await vif.connected();
});
beforeEach(async () => {
  ping = await pingBetween(good[0] as Vif, good[1] as Vif);
  domid++;
});
afterEach(async () => {
  await answers(ping, 3);
  expect((await ping.stop()).lost, 'packets lost between two guests that were well').toBe(0);
});

/** Waits for an error, and expects both keys to tell it. */
async function refused(vif: Vif, message: string | RegExp): Promise<void> {
  await vif.status('error');
  // Both come in one transaction.
  expect(await vif.read('hotplug-error')).toMatch(message);
}

async function healed(vif: Vif): Promise<void> {
  await vif.connected();
  expect(await vif.read('hotplug-error')).toBeUndefined();
}

test('a missing bridge is reported, in xenstore and in the log, and healed when it appears', async () => {
  const vif = await domnet.plug({ domid, keys: { bridge: 'lan0' } });
  const message = `attach ${vif.name} to bridge lan0: no such bridge; the bridges here are xenbr0`;
  await refused(vif, message);
  expect(await daemon.logged('vif not attached', vif.name)).toMatchObject({
    level: 'warn',
    error: message,
    errorKind: 'bridge',
    errorCode: 'bridge-missing',
  });
  expect((await linkOf(vif)).flags).not.toContain('UP');
  await domnet.addBridge('lan0');
  await healed(vif);
  await attachedTo(vif, 'lan0');
});

test('a bridge that is renamed into place heals as well', async () => {
  const vif = await domnet.plug({ domid, keys: { bridge: 'lan1' } });
  await refused(vif, 'no such bridge');
  await domnet.addBridge('elsewhere');
  await domnet.ip('link set elsewhere name lan1');
  await healed(vif);
});

test('an interface that is no bridge is said to be none', async () => {
  await domnet.ip('link add plain type veth peer name plain-peer');
  const vif = await domnet.plug({ domid, keys: { bridge: 'plain' } });
  await refused(vif, `attach ${vif.name} to bridge plain: plain is not a bridge`);
});

test('a bridge deleted under a connected vif is reported, and healed when it is back', async () => {
  await domnet.addBridge('brittle');
  const vif = await domnet.plug({ domid, keys: { bridge: 'brittle' } });
  await vif.connected();
  await domnet.ip('link delete brittle');
  await refused(vif, 'to bridge brittle: no such bridge');
  await attachedTo(vif, undefined);
  await domnet.addBridge('brittle');
  await healed(vif);
  await attachedTo(vif, 'brittle');
});

test('a vifname that is taken is reported, and healed when it is free', async () => {
  await domnet.ip('link add db0 type bridge');
  const vif = await domnet.plug({ domid, keys: { vifname: 'db0' } });
  await refused(vif, new RegExp(`^rename ${vif.name} to db0: interface \\d+ has that name`));
  expect(await daemon.logged('vif not attached', vif.name)).toMatchObject({ errorKind: 'configuration' });
  await domnet.ip('link delete db0');
  await healed(vif);
  await attachedTo(vif, 'xenbr0', 'db0');
});

test('of two vifs with one vifname the first keeps it, and the second gets it afterwards', async () => {
  const first = await domnet.plug({ domid, keys: { vifname: 'twin' } });
  await first.connected();
  domid++;
  const second = await domnet.plug({ domid, keys: { vifname: 'twin' } });
  await refused(second, `rename ${second.name} to twin`);
  expect(await linkOf(first, 'twin')).toMatchObject({ ifalias: first.name });
  await first.unplug();
  await healed(second);
  expect(await linkOf(second, 'twin')).toMatchObject({ ifalias: second.name });
});

test('two guests that are given each other’s vifname have them, also where another program swaps the netdevs’ names', async () => {
  const names = ['one', 'other', 'third'] as const;
  const vifs = [await domnet.plug({ domid, keys: { vifname: 'one' } })];
  for (const vifname of names.slice(1)) vifs.push(await domnet.plug({ domid: ++domid, keys: { vifname } }));
  const have = (expected: readonly string[]): Promise<unknown> =>
    until(`the names ${expected}`, async () => {
      const links = await Promise.all(expected.map((name) => domnet.link(name)));
      const attached = (link: (typeof links)[number], i: number): boolean =>
        link?.ifalias === vifs[i]?.name && link?.master === 'xenbr0' && link.flags.includes('UP');
      return links.every(attached);
    });
  for (const vif of vifs) await vif.connected();
  const swapped = ['other', 'one', 'third'];
  await domnet.xenstore.writeMany(
    vifs.map((vif, i): [string, string] => [`${vif.backend}/vifname`, swapped[i] as string]),
  );
  await have(swapped);
  for (const vif of vifs) await vif.connected();
  // At once: neither is repaired by itself meanwhile.
  daemon.suspend();
  for (const command of ['one name between', 'third name one', 'between name third'])
    await domnet.ip(`link set ${command}`);
  process.kill(daemon.pid, 'SIGCONT');
  await have(swapped);
  expect((await linkOf(vifs[0] as Vif, 'other')).master).toBe('xenbr0');
  for (const vif of vifs) await vif.connected();
});

test('a netdev that does not come is reported, and healed when it does', async () => {
  const vif = await domnet.writeDevice({ domid });
  await refused(vif, `wait for netdev ${vif.name}: it did not appear within 1 s; is xen-netback loaded?`);
  expect(await daemon.logged('vif not attached', vif.name)).toMatchObject({ errorKind: 'timeout' });
  await vif.addNetdev();
  await healed(vif);
});

test('netback that gives a device up is reported at once, and healed when it comes after all', async () => {
  const vif = await domnet.writeDevice({ domid });
  await vif.setState(5);
  await refused(
    vif,
    `wait for netdev ${vif.name}: netback has given it up; "journalctl -k -g vif-${domid}-0"`,
  );
  expect(await daemon.logged('vif not attached', vif.name)).toMatchObject({ errorKind: 'kernel' });
  await vif.addNetdev();
  await vif.setState(2);
  await healed(vif);
});

test('a netdev that goes is reported, and healed when it comes back', async () => {
  const vif = await domnet.plug({ domid });
  await vif.connected();
  await vif.removeNetdev();
  await refused(vif, `wait for netdev ${vif.name}`);
  await vif.addNetdev();
  await healed(vif);
});

test('a missing bridge is told before the netdev is there', async () => {
  const vif = await domnet.writeDevice({ domid, keys: { bridge: 'nowhere' } });
  await refused(vif, `attach ${vif.name} to bridge nowhere: no such bridge`);
});

const esc = '\u001b]0;owned\u0007';
const long = 'x'.repeat(2000);
const notUtf8 = Buffer.from([0xff, 0xfe, 0x80, 0xc3, 0x28]);
const hostile: [string, string | Buffer][] = [
  ['2000 bytes', long],
  ['control characters', esc],
  ['bytes that are no UTF-8', notUtf8],
];
describe.each([
  ['mac', 'none', '00:16:3e:00:00:09'],
  ['ip', '10.0.0.1000', '10.0.0.1'],
  ['mtu', 'large', '1500'],
  ['vifname', 'a/b', undefined],
  ['bridge', 'a b', 'xenbr0'],
  ['gatewaydev', 'a b', 'eth0'],
  ['script', '/etc/xen/scripts/vif-magic', '/etc/xen/scripts/vif-bridge'],
])('the key %s', (key, malformed, good) => {
  test.each([['nonsense', malformed] as [string, string], ...hostile])(
    '%s: reported, and healed when it is put right',
    async (_what, value) => {
      const vif = await domnet.writeDevice({ domid, keys: { [key]: undefined } });
      await domnet.xenstore.write(`${vif.backend}/${key}`, value);
      await vif.addNetdev();
      await refused(vif, new RegExp(key));
      // Printable on a terminal.
      const told = (await vif.read('hotplug-error')) ?? '';
      expect(told).toMatch(/^[\x20-\x7e]{1,300}$/);
      await until('the log to say it', () =>
        daemon.log.some((line) => line.vif === vif.name && line.error === told),
      );
      await vif.write({ [key]: good ?? vif.name });
      await healed(vif);
      await vif.unplug();
    },
  );
});

test('a guest is connected with any values on its side', async () => {
  for (const [, value] of hostile) {
    domid++;
    const vif = await domnet.writeDevice({ domid });
    await domnet.xenstore.write(`${vif.frontend}/mtu`, value);
    await domnet.xenstore.write(`${vif.frontend}/mac`, value);
    await vif.addNetdev();
    await vif.connected();
    await vif.unplug();
  }
});

test('directories that are no vif’s are left alone', async () => {
  const paths = ['abc/0', '7/xyz', '70000/0', '007/0', '-1/0', '7/0/deep/er'].map(
    (path) => `backend/vif/${path}`,
  );
  for (const path of paths) await domnet.xenstore.write(`${path}/online`, '1');
  const vif = await domnet.plug({ domid });
  await vif.connected();
  for (const path of paths) {
    expect(await domnet.xenstore.directory(path)).toEqual(['online']);
    await domnet.xenstore.rm(path);
  }
});
