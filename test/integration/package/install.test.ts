import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { OpenVswitch } from '../../support/net/openvswitch.js';
import { Background } from '../../support/process/background.js';
import { Container } from '../../support/process/container.js';
import { exec, until } from '../../support/process/exec.js';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** The files of systemd-networkd that docs/operate/install.md shows under a heading in bold, by their names. */
function networkd(heading: string): Map<string, string> {
  const [, section = ''] = readFileSync(file('docs/operate/install.md'), 'utf8').split(`**${heading}`);
  const found = new Map<string, string>();
  for (const [, name = '', text = ''] of (section.split('\n**')[0] ?? '').matchAll(
    /^ {4}# ([\w-]+\.(?:netdev|network)).*\n((?: {4}(?!# ).*\n)+)/gm,
  )) {
    found.set(name, text.replace(/^ {4}/gm, ''));
  }
  expect(found.size).toBeGreaterThan(0);
  return found;
}

let domnet: Domnet;
let machine: Container;

/** A domain with a card, whose other end is a network with one more address, 192.0.2.254. */
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.ip(`link add enp0s0 type veth peer name wire0 netns ${await domnet.guestNamespace(99)}`);
  for (const command of ['link set wire0 up', 'address add 192.0.2.254/24 dev wire0'])
    await exec('ip', ['-n', await domnet.guestNamespace(99), ...command.split(' ')]);
  machine = await Container.boot(domnet);
}, 60_000);
afterEach(async () => {
  await machine.stop();
  await domnet.stop();
});

async function configure(files: Map<string, string>): Promise<void> {
  await machine.sh('rm -rf /etc/systemd/network && mkdir /etc/systemd/network');
  for (const [name, text] of files) await machine.sh(`printf '%s' '${text}' >/etc/systemd/network/${name}`);
  await machine.exec('systemctl', ['restart', 'systemd-networkd']);
}

/** A guest's packets get out by the card. */
async function reachesOut(): Promise<void> {
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  await vif.guestIp('address add 192.0.2.5/24 dev eth0');
  await until('an answer from outside', () =>
    vif.guestExec('ping', ['-c', '1', '-W', '0.2', '192.0.2.254']).catch(() => undefined),
  );
}

const setup = async (name: string): Promise<string | undefined> =>
  (
    JSON.parse(await machine.exec('networkctl', ['--json=short', 'list'])) as { Interfaces: Interface[] }
  ).Interfaces.find(({ Name }) => Name === name)?.AdministrativeState;

const configured = (name: string) =>
  until(`networkd to be done with ${name}`, async () => (await setup(name)) === 'configured');

interface Interface {
  readonly Name: string;
  readonly AdministrativeState: string;
}

const check = () =>
  machine.sh(
    `XENSTORED_PATH=/run/xenstored/socket '${process.execPath}' '${file('dist/main.js')}' check || :`,
  );

test('a bridge with systemd-networkd: the guest reaches what is outside, and networkd keeps off its vif', async () => {
  const files = networkd('A bridge with systemd-networkd');
  expect([...files.keys()]).toEqual(['10-xenbr0.netdev', '20-uplink.network', '30-xenbr0.network']);
  await configure(files);
  await until('the uplink to be a port', async () => (await domnet.link('enp0s0'))?.master === 'xenbr0');
  await domnet.vifd();
  await reachesOut();
  await configured('enp0s0');
  expect(await setup('vif5.0')).toBe('unmanaged');
  expect(await check()).toMatch(/^ok +xenstore/m);
  expect(await check()).not.toContain('systemd-networkd');
  // What the guide warns of.
  await configure(new Map([...files, ['90-all.network', '[Match]\nName=*\n[Network]\nDHCP=yes\n']]));
  await until('networkd to take the vif', async () => (await setup('vif5.0')) !== 'unmanaged');
  expect(await check()).toMatch(
    /^WARNING +systemd-networkd +\/etc\/systemd\/network\/90-all\.network matches vif\*/m,
  );
});

test('Open vSwitch with systemd-networkd: the card and the bridge are brought up', async () => {
  const ovs = new OpenVswitch(domnet);
  await ovs.start();
  try {
    await ovs.addBridge('xenbr0');
    await ovs.vsctl('add-port xenbr0 enp0s0');
    const bridge = networkd('A bridge with systemd-networkd').get('30-xenbr0.network') ?? '';
    await configure(new Map([...networkd('Open vSwitch'), ['30-xenbr0.network', bridge]]));
    for (const name of ['enp0s0', 'xenbr0'])
      await until(`${name} to be up`, async () => (await domnet.link(name))?.flags.includes('UP'));
    await configured('enp0s0');
  } finally {
    await ovs.stop();
  }
});

test('NAT with systemd-networkd: an uplink with an address by DHCP is all it takes', async () => {
  await configure(networkd('NAT or routing'));
  const outside = await domnet.guestNamespace(99);
  const dhcp = new Background('ip', [
    ...['netns', 'exec', outside, 'dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=0'],
    ...['--interface=wire0', '--bind-interfaces', '--dhcp-range=192.0.2.10,192.0.2.20,1h'],
    ...[`--dhcp-leasefile=${domnet.dir}/leases`, '--dhcp-option=option:router,192.0.2.254'],
    ...['--pid-file=', `--log-facility=${domnet.dir}/dhcp.log`],
  ]);
  try {
    await until(
      'the lease',
      async () => (await domnet.ip('route show default')).includes('via 192.0.2.254'),
      30_000,
    );
    await domnet.vifd();
    const vif = await domnet.plug({ domid: 7, keys: { script: '/etc/xen/scripts/vif-nat' } });
    await vif.connected();
    await vif.guestIp('address add 10.0.7.1/16 dev eth0');
    await vif.guestIp('route add default via 10.0.7.128');
    await until('an answer from outside', () =>
      vif.guestExec('ping', ['-c', '1', '-W', '0.2', '192.0.2.254']).catch(() => undefined),
    );
    expect((await domnet.exec('sysctl', ['-n', 'net.ipv4.ip_forward'])).trim()).toBe('0');
  } finally {
    await dhcp.stop('SIGTERM');
  }
});
