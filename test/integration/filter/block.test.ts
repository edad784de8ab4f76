import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import {
  addressOf,
  guest,
  type Kind,
  outer,
  pingFrom,
  prepareTopologies,
  reaches,
} from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { Ping } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

// One guest of each topology is blocked; beside it are two others, which ping each other.
const kinds: Kind[] = ['bridge', 'openvswitch', 'route', 'nat'];
const domids = { bridge: 10, openvswitch: 20, route: 30, nat: 40 } as const;

let domnet: Domnet;
let ovs: OpenVswitch;
let daemon: Vifd;
const start = (): Promise<Vifd> => domnet.vifd({ config: ovs.config });
const blocked = {} as Record<Kind, Vif>;
const beside = {} as Record<Kind, readonly [Vif, Vif]>;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  daemon = await start();
  for (const kind of kinds) {
    const first = domids[kind];
    blocked[kind] = await guest(domnet, kind, first);
    beside[kind] = [await guest(domnet, kind, first + 1), await guest(domnet, kind, first + 2)];
  }
});
afterAll(async () => {
  await domnet.stop();
  await ovs.stop();
});

const command = async (...args: string[]): Promise<string> => {
  const { status, stdout, stderr } = await domnet.command(...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
};

const other = (kind: Kind): string => addressOf(kind, beside[kind][0]);

/** Frames that have come to the guest. */
const received = async (vif: Vif): Promise<number> =>
  Number(await vif.guestExec('cat', ['/sys/class/net/eth0/statistics/rx_packets']));

/** Pings by a guest that are answered by none, while another sends to it; the guest hears nothing either. */
async function isSilent(
  kind: Kind,
  vif = blocked[kind],
  work: () => Promise<unknown> = async () => undefined,
) {
  const before = await received(vif);
  const [, third] = beside[kind];
  const out = new Ping(await domnet.guestNamespace(vif.domid), other(kind));
  const back = new Ping(await domnet.guestNamespace(third.domid), addressOf(kind, vif));
  // Each of them is sent by then, and answered where it can be.
  await reaches(third, other(kind));
  await work();
  await reaches(third, other(kind));
  expect({ out: (await out.stop()).answered, back: (await back.stop()).answered }).toEqual({
    out: 0,
    back: 0,
  });
  expect(await received(vif)).toBe(before);
}

const gone = async (vif: Vif): Promise<void> =>
  until(`the chains of ${vif.name} to go`, async () => {
    const rules = await domnet.exec('nft', ['list', 'ruleset']);
    return !rules.includes(`${vif.name} blocked`);
  }).then(() => undefined);

test('no frame passes, the guest stays connected, and those beside it lose nothing', async () => {
  const pings = await Promise.all(kinds.map((kind) => pingFrom(beside[kind][1], other(kind))));
  for (const kind of kinds) {
    const vif = blocked[kind];
    await reaches(vif, other(kind));
    expect(await command('block', vif.name)).toBe(
      `${vif.name}: blocked; no frame passes until "vifd allow ${vif.name}"\n`,
    );
  }
  await Promise.all(kinds.map((kind) => isSilent(kind)));
  for (const kind of kinds) {
    const vif = blocked[kind];
    expect(await vif.read('hotplug-status')).toBe('connected');
    // This switch reads the device past every chain, so the device itself is down.
    if (kind !== 'openvswitch') expect((await domnet.link(vif.name))?.flags).toContain('UP');
    expect(daemon.log.find(({ msg, vif: of }) => msg === 'vif blocked' && of === vif.name)).toMatchObject({
      by: expect.stringMatching(/^uid 0/),
    });
  }
  // Nothing of this domain itself comes to a guest either.
  const before = await received(blocked.nat);
  await domnet.exec('ping', ['-c', '1', '-W', '0.2', addressOf('nat', blocked.nat)]).catch(() => undefined);
  expect(await received(blocked.nat)).toBe(before);
  for (const ping of pings) expect((await ping.stop()).lost).toBe(0);
});

test('it is told by status, check and plan', async () => {
  const { name } = blocked.bridge;
  expect(await command('status')).toMatch(
    new RegExp(`^${name.replace('.', '\\.')} +attached, blocked `, 'm'),
  );
  expect(await command('status', name)).toMatch(/^blocked: +no frame passes, since 20\S+, by uid 0/m);
  expect(JSON.parse(await command('status', beside.bridge[0].name, '--json')).blocked).toBeNull();
  expect((await domnet.command('check', name)).stdout).toContain(
    `${name}: the way of its packets ends at: block\n`,
  );
  expect(await command('plan', name)).toBe(`# ${name} is attached as it should be\n`);
  expect(await command('block', name)).toContain(`${name}: blocked already;`);
  expect(await domnet.command('block', 'vif99.0')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('"vif99.0"'),
  });
});

test('it outlives vifd, by a kill and by a stop, without a moment open', async () => {
  const restart = async (): Promise<void> => {
    await daemon.kill();
    daemon = await start();
    await daemon.terminate();
    daemon = await start();
  };
  const restarted = restart();
  await Promise.all(kinds.map((kind) => isSilent(kind, blocked[kind], () => restarted)));
  for (const kind of kinds) {
    const about = daemon.log.filter(({ vif }) => vif === blocked[kind].name).map(({ msg }) => msg);
    expect(about).toEqual(['vif adopted']);
  }
});

test('another program that takes the chain away is undone', async () => {
  const { name } = blocked.route;
  const { ifindex } = (await domnet.link(name)) ?? { ifindex: 0 };
  // With a nft that knows owners the tables are vifd's alone.
  const chain = ['chain', 'netdev', 'vifd', `${name}_${ifindex}_out`];
  const isOpen = await domnet.exec('nft', ['flush', ...chain]).then(
    () => true,
    () => false,
  );
  if (isOpen) await daemon.logged('vif repaired', name);
  await isSilent('route');
});

test('a guest that restarts is blocked from its first frame on', async () => {
  const mac = (await blocked.bridge.read('mac')) ?? '';
  const { domid } = blocked.bridge;
  await blocked.bridge.unplug();
  const vif = await domnet.plug({ domid: domid + 5, keys: { mac } });
  await vif.guestIp(`address replace ${addressOf('bridge', vif)}/24 dev eth0`);
  await vif.connected();
  await isSilent('bridge', vif);
  // Another guest has the former one's number.
  blocked.bridge = await guest(domnet, 'bridge', domid, { mac: '00:16:3e:77:00:01' });
  await reaches(blocked.bridge, other('bridge'));
  expect(await command('allow', vif.name)).toBe(`${vif.name}: no longer blocked\n`);
  await reaches(vif, other('bridge'));
});

test('allowed again, everything is as before', async () => {
  for (const kind of kinds.filter((one) => one !== 'bridge')) {
    expect(await command('allow', blocked[kind].name)).toBe(`${blocked[kind].name}: no longer blocked\n`);
    await reaches(blocked[kind], other(kind));
    await gone(blocked[kind]);
  }
  for (const kind of ['route', 'nat'] as const) await reaches(blocked[kind], outer);
  expect(readdirSync(join(domnet.dir, 'state', 'blocked'))).toEqual([]);
  expect(await command('allow', blocked.nat.name)).toBe(`${blocked.nat.name}: was not blocked\n`);
});
