import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import {
  addressOf,
  guest,
  type Kind,
  plugGuest,
  prepareTopologies,
  reaches,
} from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { attachedTo } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';
import { connected, missing, statusOf } from '../../support/process/status.js';

// What several vifs are attached to goes for a while: Open vSwitch's programs, or a bridge. Vifs of other topologies, and
// those of other bridges, do not hear of it.

let domnet: Domnet;
let daemon: Vifd;
let ovs: OpenVswitch;
beforeEach(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  daemon = await domnet.vifd({ config: `${ovs.config}[netdev]\ntimeout = 1\n[log]\nlevel = "debug"\n` });
});
afterEach(async () => {
  await ovs.stop();
  await domnet.stop();
});

/** Two guests of a kind that have reached each other. */
async function pair(kind: Kind, keys = {}): Promise<[Vif, Vif]> {
  const one = await guest(domnet, kind, 5, keys);
  const two = await guest(domnet, kind, 6, keys);
  for (const vif of [one, two]) await daemon.logged('vif attached', vif.name);
  await reaches(one, addressOf(kind, two));
  return [one, two];
}

/** Watches what the vifs say of themselves until it is asked to stop. @returns all that was not "attached" */
function watch(vifs: readonly Vif[]): () => Promise<string[]> {
  const seen = new Set<string>();
  let over = false;
  const watching = (async () => {
    while (!over) {
      for (const vif of vifs) {
        const { state } = await statusOf(vif);
        const status = await vif.read('hotplug-status');
        if (state !== 'attached' || status !== 'connected') seen.add(`${vif.name} ${state} ${status}`);
      }
    }
  })();
  const end = async () => {
    over = true;
    await watching;
    return [...seen];
  };
  domnet.atEnd(end);
  return end;
}

/** None of them was taken off: no port was deleted, no link went down, nothing was said to have failed. */
function stayed(since: number, ...vifs: Vif[]): void {
  const lines = daemon.log.slice(since).filter(({ vif }) => vifs.some(({ name }) => name === vif));
  expect(lines.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
  const changes = lines.filter(({ msg }) => msg === 'host change').map(({ action }) => String(action));
  expect(changes.filter((action) => / down\b|del-port/.test(action))).toEqual([]);
}

test('attached vifs outlast ovs-vswitchd being killed, and say that it does not run', async () => {
  const vifs = await pair('openvswitch');
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  const before = daemon.log.length;
  const watched = watch(vifs);
  await ovs.killSwitch();
  await missing(vifs, [/ovs-vswitchd/]);
  // Longer than a vif that comes now is given.
  const late = await plugGuest(domnet, 'openvswitch', 7);
  await until('a new one to be told of it', async () =>
    (await late.read('hotplug-error'))?.includes('ovs-vswitchd'),
  );
  await missing(vifs, [/ovs-vswitchd/]);
  await ovs.startSwitch();
  await late.connected();
  await missing([...vifs, late], []);
  await reaches(vifs[0], addressOf('openvswitch', vifs[1]));
  expect(await watched()).toEqual([]);
  stayed(before, ...vifs);
  await beside.untouched();
});

test('attached vifs outlast ovsdb-server being restarted, and say that it is away', async () => {
  const vifs = await pair('openvswitch');
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  const before = daemon.log.length;
  const watched = watch(vifs);
  const ports = async () => [
    await ovs.get('port', 'vif5.0', '_uuid'),
    await ovs.get('port', 'vif6.0', '_uuid'),
  ];
  const rows = await ports();
  await ovs.stopServer();
  await missing(vifs, [/database .* not reachable|ovsdb-server/]);
  // News of the vifs themselves, and of nothing that they need, changes nothing of it.
  await domnet.ip('link set vif5.0 txqueuelen 501');
  await vifs[1].write({ 'hotplug-error': 'nonsense' });
  await until('the error to be taken back', async () => (await vifs[1].read('hotplug-error')) === undefined);
  await missing(vifs, [/database .* not reachable|ovsdb-server/]);
  await ovs.startServer();
  await missing(vifs, []);
  expect(await watched()).toEqual([]);
  expect(await ports()).toEqual(rows);
  stayed(before, ...vifs);
  await reaches(vifs[0], addressOf('openvswitch', vifs[1]));
  await beside.untouched();
});

test('attached vifs outlast both being restarted at once, in either order', async () => {
  const vifs = await pair('openvswitch');
  const before = daemon.log.length;
  const watched = watch(vifs);
  for (const [first, second] of [
    ['startServer', 'startSwitch'],
    ['startSwitch', 'startServer'],
  ] as const) {
    await ovs.killSwitch();
    await ovs.stopServer();
    await missing(vifs, [/ovs-vswitchd|database .* not reachable|ovsdb-server/]);
    await ovs[first]();
    await ovs[second]();
    await missing(vifs, [], 5000);
    await reaches(vifs[0], addressOf('openvswitch', vifs[1]));
  }
  expect(await watched()).toEqual([]);
  stayed(before, ...vifs);
});

test('an Open vSwitch bridge that is deleted takes its vifs off, and those of another are not touched', async () => {
  await ovs.addBridge('ovsbr1');
  const vifs = await pair('openvswitch', { bridge: 'ovsbr1' });
  const beside = await Neighbours.of(daemon, domnet, 'openvswitch', { ovs });
  await ovs.vsctl('del-br ovsbr1');
  for (const vif of vifs) {
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe(
      `attach ${vif.name} to Open vSwitch bridge ovsbr1: no such bridge; the bridges here are xenbr0; those of Open vSwitch are ovsbr0 (vif-openvswitch)`,
    );
    expect((await domnet.link(vif.name))?.flags).not.toContain('UP');
  }
  await ovs.addBridge('ovsbr1');
  for (const vif of vifs) await vif.connected();
  await reaches(vifs[0], addressOf('openvswitch', vifs[1]));
  await connected(...vifs);
  await beside.untouched();
});

test('a bridge that is deleted takes its vifs off, and those of another are not touched', async () => {
  await domnet.addBridge('xenbr1');
  const vifs = await pair('bridge', { bridge: 'xenbr1' });
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  await domnet.ip('link delete xenbr1');
  for (const vif of vifs) {
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe(
      `attach ${vif.name} to bridge xenbr1: no such bridge; the bridges here are xenbr0; those of Open vSwitch are ovsbr0 (vif-openvswitch)`,
    );
    await attachedTo(vif, undefined);
  }
  await domnet.addBridge('xenbr1');
  for (const vif of vifs) await attachedTo(vif, 'xenbr1');
  for (const vif of vifs) await vif.connected();
  await reaches(vifs[0], addressOf('bridge', vifs[1]));
  await connected(...vifs);
  await beside.untouched();
});
