import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Blocks } from '../../../src/host/blocks.js';
import { steering } from '../../../src/model/one-line.js';
import { snapshot } from '../../../src/model/snapshot.js';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { OpenVswitch } from '../../support/net/openvswitch.js';

let domnet: Domnet;
let file: string;

beforeEach(async () => {
  domnet = await Domnet.start();
  file = join(domnet.dir, 'paste.toml');
  await domnet.ip('link add eth0 type veth peer name peer0');
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  await domnet.ip('address add 2001:db8::1/64 dev eth0 nodad');
  for (const name of ['eth0', 'peer0']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('route add default via 192.0.2.254');
  await domnet.ip('-6 route add default via 2001:db8::fe');
});
afterEach(() => domnet.stop());

async function planned(vif: Vif): Promise<string> {
  const { status, stdout, stderr } = await domnet.command('plan', vif.name, '--config', file);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** Pastes what `vifd plan` prints into a shell, as it is, and expects that another plan has nothing left. */
async function paste(domid: number, config: string, keys: Record<string, string | undefined>): Promise<Vif> {
  writeFileSync(file, config);
  const vif = await domnet.plug({ domid, keys });
  const plan = await planned(vif);
  expect(plan.split('\n')[0]).toMatch(/^# attach /);
  await domnet.exec('sh', ['-ec', plan]);
  expect(await planned(vif)).toBe(`# ${vif.name} is attached as it should be\n`);
  return vif;
}

/** Starts vifd, and expects that it changes nothing: all that is left is to tell dom0. */
async function expectNothingLeft(vifs: readonly [Vif, ...Vif[]], config: string): Promise<void> {
  const daemon = await domnet.vifd({ config: `${config}[log]\nlevel = "debug"\n` });
  for (const vif of vifs) {
    await vif.connected();
    await daemon.logged('vif attached', vif.name);
  }
  expect(daemon.log.filter(({ msg }) => ['host change', 'left-over removed'].includes(msg))).toEqual([]);
  expect(daemon.log.filter(({ level }) => ['warn', 'error'].includes(level))).toEqual([]);
  // There would have been such a line.
  const [vif] = vifs;
  await domnet.ip(`link set ${(await vif.read('vifname')) ?? vif.name} down`);
  await daemon.logged('host change', vif.name);
}

const routed = '192.0.2.5 2001:db8::5';

test.each<[string, string, Record<string, string | undefined>]>([
  ['a port of a bridge', '', { ip: '10.0.0.5 2001:db8::5' }],
  ['a port of a bridge, by another name', '', { vifname: 'guest', mtu: '1400', ip: '10.0.0.5' }],
  [
    'a port of a bridge with flags',
    '[[vif]]\nbridge = "xenbr0"\nisolated = true\nbroadcast_flood = false\ntxqueuelen = 64\n',
    {},
  ],
  ['a routed vif', '', { script: 'vif-route', ip: routed, gatewaydev: 'eth0' }],
  [
    'a routed vif by another name',
    '',
    { script: 'vif-route', ip: routed, gatewaydev: 'eth0', vifname: 'guest', mtu: '1400' },
  ],
  ['a vif behind NAT', '[nat]\ndhcp = "off"\n', { script: 'vif-nat', ip: '10.0.0.1 2001:db8:1::1' }],
  [
    'a vif behind NAT by another name',
    '[nat]\ndhcp = "off"\n',
    { script: 'vif-nat', ip: '10.0.0.1 2001:db8:1::1', vifname: 'guest', mtu: '1400' },
  ],
  ['a vif behind NAT with DHCP', '[nat]\ndhcp = "dnsmasq"\n', { script: 'vif-nat' }],
  [
    'a vif whose name means something to a shell',
    '[antispoof]\nmode = "off"\n[nat]\ndhcp = "dnsmasq"\n',
    { script: 'vif-nat', vifname: "a'$(b)`;c" },
  ],
])('what vifd plan prints can be pasted, and leaves nothing to do: %s', async (_, config, keys) => {
  await domnet.addBridge('xenbr0');
  const first = await paste(5, config, keys);
  // What all vifs share is there for the second.
  const { vifname, ip, ...others } = keys;
  const second = await paste(6, config, {
    ...others,
    ...(vifname === undefined ? {} : { vifname: 'second' }),
    ...(ip === undefined ? {} : { ip: ip.replaceAll(/\d( |$)/g, '6$1') }),
  });
  await expectNothingLeft([first, second], config);
});

test.each<[string, { bridge: string; mtu?: string; vifname?: string }]>([
  ['with a tag', { bridge: 'ovsbr0.10', mtu: '1400' }],
  ['with trunks, by another name', { bridge: 'ovsbr0.10:20:30', vifname: 'guest' }],
])(
  'what vifd plan prints can be pasted, and leaves nothing to do: a port of Open vSwitch %s',
  async (_, keys) => {
    const ovs = new OpenVswitch(domnet);
    await ovs.start();
    try {
      await ovs.addBridge('ovsbr0');
      await domnet.xenstore.writeMany([['/local/domain/5/name', "anna's vm"]]);
      const vif = await paste(5, ovs.config, { script: 'vif-openvswitch', ...keys });
      expect(await ovs.get('interface', keys.vifname ?? vif.name, 'external_ids')).toContain("anna's vm");
      await expectNothingLeft([vif], ovs.config);
    } finally {
      await ovs.stop();
    }
  },
);

test('what vifd plan prints can be pasted, and steers no terminal, where a bridge has a name that would', async () => {
  const name = 'x\x1b[2J\u009b';
  await domnet.ip(`link add ${name} up type bridge`);
  const vif = await domnet.plug({ domid: 6, keys: { bridge: '' } });
  writeFileSync(file, '');
  const plan = await planned(vif);
  expect(plan).toContain(String.raw`master "$(printf 'x\033[2J\302\233')" up`);
  expect(plan.replace(/[\n\t]/g, '').search(steering)).toBe(-1);
  await paste(5, '', { bridge: '' });
});

test('what vifd plan prints for a vif that has changed can be pasted too', async () => {
  const ovs = new OpenVswitch(domnet);
  await ovs.start();
  try {
    await ovs.addBridge('ovsbr0');
    const config = `${ovs.config}[nat]\ndhcp = "dnsmasq"\n`;
    const port = await paste(5, config, { script: 'vif-openvswitch', bridge: 'ovsbr0.10:20' });
    const behind = await paste(6, config, { script: 'vif-nat', ip: '10.0.0.1 2001:db8:1::1' });
    await port.write({ bridge: 'ovsbr0' });
    await behind.write({ ip: '10.0.0.2', vifname: 'late' });
    for (const vif of [port, behind]) {
      await domnet.exec('sh', ['-ec', await planned(vif)]);
      expect(await planned(vif)).toBe(`# ${vif.name} is attached as it should be\n`);
    }
    await expectNothingLeft([port, behind], config);
  } finally {
    await ovs.stop();
  }
});

test('what vifd plan prints for vifs that go can be pasted too: each topology leaves the others as they are', async () => {
  const ovs = new OpenVswitch(domnet);
  await ovs.start();
  try {
    await ovs.addBridge('ovsbr0');
    await domnet.addBridge('xenbr0');
    const config = `${ovs.config}[nat]\ndhcp = "dnsmasq"\n`;
    writeFileSync(file, config);
    const kinds: Record<string, string | undefined>[] = [
      { script: 'vif-route', ip: routed.replaceAll('5', '6'), gatewaydev: 'eth0' },
      { ip: '10.0.0.5 2001:db8::5' },
      { script: 'vif-route', ip: routed, gatewaydev: 'eth0' },
      { script: 'vif-nat' },
      { script: 'vif-openvswitch', bridge: 'ovsbr0.10' },
    ];
    const vifs: Vif[] = [];
    for (const [at, keys] of kinds.entries()) {
      const vif = await domnet.plug({ domid: 4 + at, keys });
      await domnet.exec('sh', ['-ec', await planned(vif)]);
      vifs.push(vif);
    }
    const [stays, ...go] = vifs as [Vif, ...Vif[]];
    for (const vif of go) await takeOff(vif);
    expect(await planned(stays)).toBe(`# ${stays.name} is attached as it should be\n`);
    expect(await domnet.exec('ovs-vsctl', [`--db=${ovs.database}`, 'list-ports', 'ovsbr0'])).toBe('');
    await takeOff(stays);
    expect(await domnet.exec('nft', ['list', 'ruleset'])).toBe('');
    expect(await domnet.exec('ip', ['neighbour', 'show', 'proxy'])).toBe('');
  } finally {
    await ovs.stop();
  }
});

/** Pastes what `vifd plan` prints for a vif that netback has closed, and expects that another plan has nothing left. */
async function takeOff(vif: Vif): Promise<void> {
  await vif.write({ online: '0', state: '6' });
  const plan = await planned(vif);
  expect(plan).toMatch(new RegExp(`^# ${vif.name} is closed: undo what was done for it`));
  await domnet.exec('sh', ['-ec', plan]);
  expect(await planned(vif)).toMatch(/^#.*\n$/);
}

test('what vifd plan prints can be pasted, and leaves nothing to do: twins, blocked cards, offloads and a host that is closed', async () => {
  await domnet.addBridge('xenbr0');
  const blocks = Blocks.open(join(domnet.dir, 'state/blocked'));
  for (const domid of [8, 9]) {
    const mac = `00:16:3e:00:0${domid}:00`;
    const of = snapshot({ domid, devid: 0 }, new Map([['mac', mac]]));
    blocks.add(of, { vif: `vif${domid}.0`, since: new Date().toISOString(), by: 'uid 0' });
  }
  const config =
    '[bridge]\nprotect_host = true\nservices = ["dns", "tcp/8080"]\n[nat]\ndhcp = "off"\n[[vif]]\noffload = { tso = false, gro = true }\n';
  const card = { mac: '00:16:3e:00:05:00', ip: '10.0.0.5 2001:db8::5' };
  const emulated = await paste(6, config, card);
  const own = await paste(5, config, card);
  // The port of the older one is to fall silent.
  await domnet.exec('sh', ['-ec', await planned(emulated)]);
  const blocked = await paste(8, config, { ip: '10.0.0.8' });
  const behind = await paste(9, config, { script: 'vif-nat', ip: '10.0.0.9' });
  for (const vif of [blocked, behind])
    expect(await domnet.exec('nft', ['list', 'table', 'netdev', 'vifd'])).toContain(`"${vif.name} blocked`);
  await expectNothingLeft([own, emulated, blocked, behind], config);
});
