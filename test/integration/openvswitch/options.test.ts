import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { guest, plugGuest, prepareTopologies, reaches } from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let ovs: OpenVswitch;
let daemon: Vifd;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  const tables = [
    '[[vif]]\nbridge = "ovsbr0"\nisolated = true',
    '[[vif]]\ndomid = 7\nisolated = false',
    '[[vif]]\nip = "192.0.2.0/28"\ntxqueuelen = 77',
    '[[vif]]\nbridge = "ovsbr9"\nisolated = true',
  ];
  daemon = await domnet.vifd({ config: `${ovs.config}\n${tables.join('\n')}\n` });
});

afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

/** Whether one of five echo requests is answered. */
const pings = (vif: Vif, address: string): Promise<boolean> =>
  vif.guestExec('ping', ['-q', '-c', '5', '-i', '0.05', '-W', '1', '-w', '2', address]).then(
    () => true,
    () => false,
  );

test('isolated guests of an Open vSwitch bridge reach those that are not, and not each other', async () => {
  const [one, two, open] = await Promise.all([5, 6, 7].map((domid) => guest(domnet, 'openvswitch', domid)));
  if (one === undefined || two === undefined || open === undefined) throw new Error('no guests');
  await reaches(one, '10.6.0.7');
  await reaches(two, '10.6.0.7');
  await reaches(open, '10.6.0.5');
  expect(await pings(one, '10.6.0.6')).toBe(false);
  expect(await pings(two, '10.6.0.5')).toBe(false);
  expect(await ovs.get('port', 'vif7.0', 'protected')).toBe('false');
  await ovs.vsctl('set port vif5.0 protected=false');
  await until('the repair', async () => (await ovs.get('port', 'vif5.0', 'protected')) === 'true');
  expect((await domnet.link('vif5.0')) as { txqlen?: number }).toMatchObject({ txqlen: 1000 });
});

test('tables match by network, and one that matches no vif is said by check', async () => {
  await guest(domnet, 'route', 9);
  const routed = (await domnet.link('vif9.0')) as { txqlen?: number };
  expect(routed.txqlen).toBe(77);
  const { stdout } = await domnet.command('check', '--config', join(domnet.dir, 'vifd.toml'));
  expect(stdout).toMatch(/\[\[vif\]\] +table 4 \(bridge = "ovsbr9"\) matches none of the 4 vifs/);
});

test('what keeps guests apart is refused where it cannot be had, and taken back it heals', async () => {
  const before = await guest(domnet, 'nat', 11);
  writeFileSync(join(domnet.dir, 'vifd.toml'), `${ovs.config}\n[[vif]]\ntopology = "nat"\nisolated = true\n`);
  daemon.hangUp();
  await before.status('error');
  expect(await before.read('hotplug-error')).toContain('the guests of vif-nat are not kept from each other');
  const late = await plugGuest(domnet, 'nat', 12);
  await late.status('error');
  // The others have nothing to do with it.
  for (const name of ['vif5.0', 'vif9.0']) expect((await domnet.link(name))?.flags, name).toContain('UP');
  writeFileSync(join(domnet.dir, 'vifd.toml'), ovs.config);
  daemon.hangUp();
  await before.connected();
  await late.connected();
});
