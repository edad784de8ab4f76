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

test.each(['stp', 'rstp'])(
  'a spanning tree (%s) that waits is said, by check as well, until it is off',
  async (kind) => {
    const said = (msg: string) => daemon.log.filter((line) => line.msg === msg && line.vif === 'vif7.0');
    const before = said('vif degraded').length;
    await ovs.vsctl(`set bridge ovsbr0 ${kind}_enable=true`);
    await until('the line about it', () => said('vif degraded').length > before);
    expect(said('vif degraded').at(-1)?.missing).toEqual([
      'attach vif7.0 to Open vSwitch bridge ovsbr0: its spanning tree lets nothing through yet, as after each attach; if it needs ' +
        'none: ovs-vsctl set bridge ovsbr0 stp_enable=false rstp_enable=false',
    ]);
    if (kind === 'stp') {
      const config = join(domnet.dir, 'vifd.toml');
      const { stdout } = await domnet.command('check', 'vif7.0', '--config', config);
      expect(stdout).toMatch(
        /bridge port +vif7\.0 is (listening|learning) on ovsbr0: it waits for the spanning tree/,
      );
    }
    await ovs.vsctl('set bridge ovsbr0 stp_enable=false rstp_enable=false');
    await until('the line about its end', () => said('vif no longer degraded').length > before);
    for (const vif of ['vif5.0', 'vif6.0', 'vif7.0'])
      expect(await ovs.get('port', vif, 'status')).not.toMatch(/listening|learning/);
  },
);

test('tables match by network, and one that matches no vif is said by check', async () => {
  await guest(domnet, 'route', 9);
  const routed = (await domnet.link('vif9.0')) as { txqlen?: number };
  expect(routed.txqlen).toBe(77);
  const { stdout } = await domnet.command('check', '--config', join(domnet.dir, 'vifd.toml'));
  expect(stdout).toMatch(/\[\[vif\]\] +table 4 \(bridge = "ovsbr9"\) matches none of the 4 vifs/);
});

test('what keeps guests apart is refused where it cannot be had, and taken back it heals', async () => {
  const before = await guest(domnet, 'nat', 11);
  writeFileSync(
    join(domnet.dir, 'vifd.toml'),
    `${ovs.config}\n[[vif]]\ntopology = "nat"\nroot_block = true\n`,
  );
  daemon.hangUp();
  await before.status('error');
  expect(await before.read('hotplug-error')).toContain('vif-nat has no port of a Linux bridge');
  const late = await plugGuest(domnet, 'nat', 12);
  await late.status('error');
  // The others have nothing to do with it.
  for (const name of ['vif5.0', 'vif9.0']) expect((await domnet.link(name))?.flags, name).toContain('UP');
  writeFileSync(join(domnet.dir, 'vifd.toml'), ovs.config);
  daemon.hangUp();
  await before.connected();
  await late.connected();
});

test('a guest with a small MTU does not take a bridge of 9000 down, nor the other guests', async () => {
  await ovs.addBridge('jumbo');
  await domnet.ip('link add lan9 mtu 9000 type veth peer name lan9-peer mtu 9000');
  for (const name of ['lan9', 'lan9-peer']) await domnet.ip(`link set ${name} up`);
  await ovs.vsctl('add-port jumbo lan9');
  const mtu = async (name: string): Promise<unknown> =>
    ((await domnet.link(name)) as { mtu?: number } | undefined)?.mtu;
  await until('the bridge to follow its uplink', async () => (await mtu('jumbo')) === 9000);
  const large = await guest(domnet, 'openvswitch', 21, { bridge: 'jumbo', mtu: '9000' });
  expect(await ovs.get('interface', 'jumbo', 'mtu_request')).toBe('[]');
  const small = await guest(domnet, 'openvswitch', 22, { bridge: 'jumbo', mtu: '1400' });
  // Without the key it is netback's 1500.
  const plain = await guest(domnet, 'openvswitch', 23, { bridge: 'jumbo' });
  await reaches(small, '10.6.0.21');
  await reaches(plain, '10.6.0.22');
  expect(await ovs.get('interface', 'jumbo', 'mtu_request')).toBe('9000');
  expect(await Promise.all(['jumbo', 'vif21.0', 'vif22.0', 'vif23.0'].map(mtu))).toEqual([
    9000, 9000, 1400, 1500,
  ]);
  expect(await domnet.xenstore.read(`${small.frontend}/mtu`)).toBe('1400');
  await large.unplug();
  await small.unplug();
  await ovs.vsctl('set interface jumbo mtu_request=4000');
  await until('what the operator asks for', async () => (await mtu('jumbo')) === 4000);
  await reaches(plain, '10.6.0.23');
  expect(await ovs.get('interface', 'jumbo', 'mtu_request')).toBe('4000');
});

test('a vif whose filter frames would go past is looked at again when that ends, also on a fake bridge', async () => {
  await ovs.addBridge('ovsbr4');
  await ovs.vsctl('add-br vlan40 ovsbr4 40');
  const vif = await plugGuest(domnet, 'openvswitch', 41, { bridge: 'vlan40', ip: '10.6.0.41' });
  const refused = (by: string) =>
    until('the error', async () => (await vif.read('hotplug-error'))?.includes(by), 5000);
  await refused('datapath_type=netdev');
  await ovs.vsctl(
    '--no-wait set bridge ovsbr4 datapath_type=system -- set Open_vSwitch . other_config:hw-offload=true',
  );
  await refused('hw-offload=true');
  await ovs.vsctl('--no-wait remove Open_vSwitch . other_config hw-offload');
  // The port is made; this machine has no switch in the kernel to take it.
  await until('the port', () => ovs.get('port', vif.name, 'tag').catch(() => undefined), 5000);
  await vif.unplug();
  await ovs.vsctl('--no-wait del-br ovsbr4');
  for (const name of ['vif5.0', 'vif6.0']) expect((await domnet.link(name))?.flags, name).toContain('UP');
});

test('a controller knows a port by what dom0 says, and a vif is connected when OVN has its flows', async () => {
  const other = await guest(domnet, 'openvswitch', 31);
  writeFileSync(
    join(domnet.dir, 'vifd.toml'),
    `${ovs.config}\niface_id = "{domid}/{iface-id}"\niface_status = true\nwait_for_ovn = true\n`,
  );
  daemon.hangUp();
  const vif = await plugGuest(domnet, 'openvswitch', 32, { 'iface-id': 'lsp-web' });
  const ofport = () => ovs.get('interface', 'vif32.0', 'ofport').catch(() => '');
  await until('the port', async () => Number(await ofport()) > 0);
  const ids = await ovs.get('interface', 'vif32.0', 'external_ids');
  expect(ids).toMatch(/iface-id="?32\/lsp-web"?, iface-status=active/);
  expect(await vif.read('hotplug-status')).not.toBe('connected');
  await ovs.vsctl('set interface vif32.0 external_ids:ovn-installed=true');
  await vif.connected();
  // One that has no such key keeps what it has until it is known, and is told.
  await other.status('error');
  expect(await other.read('hotplug-error')).toContain('the iface-id key is missing');
  await other.write({ 'iface-id': 'lsp-b' });
  // Its port was taken off.
  await until('its name', async () =>
    (await ovs.get('interface', 'vif31.0', 'external_ids').catch(() => '')).includes('31/lsp-b'),
  );
});
