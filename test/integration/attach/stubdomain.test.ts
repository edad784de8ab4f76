import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd, type VifSpec } from '../../support/net/domnet.js';
import { addressOf, guest, type Kind, keysOf, prepareTopologies, reaches } from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { exec, until } from '../../support/process/exec.js';

// Under a device model in a stubdomain libxl gives that domain a copy of each vif. What the guest is is known by which of
// the two namespaces counts its packets.

let domnet: Domnet;
let ovs: OpenVswitch;
let daemon: Vifd;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  daemon = await domnet.vifd({ config: ovs.config });
});

afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

/** Domids of a guest, its stubdomain and another guest, in each topology. */
const domids: Record<Kind, { own: number; stub: number; other: number }> = {
  bridge: { own: 11, stub: 12, other: 13 },
  openvswitch: { own: 21, stub: 22, other: 23 },
  route: { own: 31, stub: 32, other: 33 },
  nat: { own: 41, stub: 42, other: 43 },
};

const domidsOf = (kind: Kind): { domid: number } => ({ domid: domids[kind].own });

/** The frontend connects, or closes: netback gives the netdev a carrier, or takes it away. */
const connects = (vif: Vif) => vif.guestIp('link set eth0 up');
const closes = (vif: Vif) => vif.guestIp('link set eth0 down');

/** A vif of a guest's card, whose frontend has not connected. */
async function plugged(domid: number, keys: NonNullable<VifSpec['keys']>): Promise<Vif> {
  const vif = await domnet.writeDevice({ domid, keys });
  await vif.addNetdev();
  await closes(vif);
  await vif.setState(2);
  return vif;
}

/** The address, the router and the MAC of the guest, in whichever namespace. */
async function configured(kind: Kind, vif: Vif, address: string, mac: string): Promise<void> {
  await vif.guestIp(`link set eth0 address ${mac}`);
  const prefix = kind === 'route' || kind === 'nat' ? 32 : 24;
  await vif.guestIp(`address replace ${address}/${prefix} dev eth0`);
  if (kind === 'route') await vif.guestIp(`address replace ${inVersion6(address)}/128 dev eth0 nodad`);
}

/** The routes that a namespace loses when its interface is down. */
async function routed(kind: Kind, vif: Vif, router: string): Promise<void> {
  if (kind !== 'route' && kind !== 'nat') return;
  await vif.guestIp(`route replace ${router} dev eth0`);
  await vif.guestIp(`route replace default via ${router}`);
  // These go with an interface that is down.
  if (kind === 'route') {
    await vif.guestIp(`address replace ${inVersion6(addressOf(kind, domidsOf(kind)))}/128 dev eth0 nodad`);
    await vif.guestIp('-6 route replace default via fe80::1 dev eth0');
  }
}

const received = async (vif: Vif): Promise<number> => {
  const [{ stats64 }] = JSON.parse(await vif.guestIp('-s -j link show eth0')) as [
    { stats64: { rx: { packets: number } } },
  ];
  return stats64.rx.packets;
};

/** Whether a guest is answered, and by which namespace: by how much each has received meanwhile. */
async function answeredBy(from: Vif, address: string, vifs: readonly Vif[]): Promise<string[]> {
  const before = await Promise.all(vifs.map(received));
  const answered = await from
    .guestExec('ping', ['-n', '-q', '-c', '10', '-i', '0.01', '-W', '0.3', address])
    .then(
      () => true,
      () => false,
    );
  const after = await Promise.all(vifs.map(received));
  if (!answered) return [];
  // A namespace may have received what is sent to all.
  return vifs.filter((_, i) => (after[i] ?? 0) - (before[i] ?? 0) >= 10).map(({ name }) => name);
}

const goesBy = (vif: Vif, from: Vif, address: string, vifs: readonly Vif[]): Promise<unknown> =>
  until(
    `traffic to ${address} by ${vif.name} alone`,
    async () => (await answeredBy(from, address, vifs)).join() === vif.name || undefined,
    5000,
  ).catch(async (error) => {
    throw new Error(`${error.message}\n${await circumstances(from, vifs)}`);
  });

/** Whether the network of the gateway device finds the guest, by both families. */
async function lanFinds(kind: Kind, address: string): Promise<void> {
  if (kind !== 'route') return;
  const lan = await domnet.guestNamespace(60_000);
  for (const one of [address, inVersion6(address)]) {
    await until(
      `an answer of ${one} to the LAN`,
      async () => {
        await exec('ip', ['-n', lan, 'neigh', 'flush', 'to', one]);
        return exec('ip', ['netns', 'exec', lan, 'ping', '-n', '-c', '1', '-W', '0.3', one]).then(
          () => true,
          () => undefined,
        );
      },
      5000,
    ).catch(async (error) => {
      throw new Error(`${error.message}\n${await domnet.ip('neigh show proxy')}`);
    });
  }
}

const inVersion6 = (address: string): string => `2001:db8::${address.split('.').at(-1)}`;

const circumstances = async (...[from, vifs]: [Vif, readonly Vif[]]): Promise<string> =>
  [
    await domnet.ip('-o link'),
    await domnet.ip('route show proto 120'),
    await ovs.vsctl('--columns=name,tag,trunks,vlan_mode list port'),
    ...(await Promise.all(
      [from, ...vifs].flatMap((vif) => [vif.guestIp('-o address'), vif.guestIp('neigh')]),
    )),
  ].join('\n');

const ifaceIds = async (mac: string): Promise<string> =>
  ovs.vsctl(`--bare --columns=name find interface external_ids:iface-id="${mac}"`);

/** What `vifd check` says last of a vif: whether all that the daemon makes for it is there. */
async function stateOf({ name }: Vif): Promise<string | undefined> {
  const config = ['--config', join(domnet.dir, 'vifd.toml')];
  const { stdout } = await domnet.command('check', name, '--json', ...config);
  const { findings } = JSON.parse(stdout) as { findings: { severity: string; message: string }[] };
  const last = findings.at(-1);
  return last && `${last.severity}: ${last.message}`;
}

/** What a daemon leaves that ends while it makes a port with an operator's VLANs anew, as the port goes on standby. */
async function endedBetween({ name }: Vif, vif: string, mac: string): Promise<void> {
  const note = `external_ids:vifd-vlan-kept-${vif}="${(await domnet.link(name))?.ifindex} ${mac} tag=10"`;
  const words = ['del-port', name, '--', 'set', 'bridge', 'ovsbr0', note];
  await domnet.exec('ovs-vsctl', [`--db=${ovs.database}`, '--timeout=10', ...words]);
}

describe.each(['bridge', 'openvswitch', 'route', 'nat'] as const)('with vif-%s', (kind) => {
  test('the traffic of an HVM guest follows the frontend that connected last, both ways', async () => {
    const { own, stub, other } = domids[kind];
    const from = await guest(domnet, kind, other);
    const address = kind === 'nat' ? '10.9.0.5' : addressOf(kind, { domid: own });
    const router = kind === 'nat' ? '10.9.0.132' : '192.0.2.1';
    const mac = `00:16:3e:77:00:${own}`;
    // Open vSwitch's userspace datapath takes no filter; on the others the guest is held to its address.
    const addresses =
      kind === 'nat' ? `${address}/24` : kind === 'route' ? `${address} ${inVersion6(address)}` : address;
    const ip = kind === 'openvswitch' ? {} : { ip: addresses };
    const keys = { ...keysOf(kind, own), ...ip, mac };
    const name = `hvm-${own}-long01`;

    const emulated = await plugged(stub, { ...keys, vifname: `${name}-emu`, type: 'vif' });
    await connects(emulated);
    await emulated.connected();
    const own1 = await plugged(own, { ...keys, vifname: name, type: 'vif_ioemu' });
    await own1.connected();
    const both = [emulated, own1];
    for (const vif of both) await configured(kind, vif, address, mac);
    await routed(kind, emulated, router);
    // The name was too long by libxl's own suffix alone.
    expect((await domnet.link(name))?.ifname).toBe(name);
    expect((await domnet.link(emulated.name))?.ifname).toBe(emulated.name);

    await goesBy(emulated, from, address, both);
    await reaches(emulated, addressOf(kind, from));
    await lanFinds(kind, address);

    // A PV driver loads; the emulated card's frontend stays connected.
    await connects(own1);
    await routed(kind, own1, router);
    await goesBy(own1, from, address, both);
    await reaches(own1, addressOf(kind, from));
    await lanFinds(kind, address);
    if (kind === 'openvswitch') expect(await ifaceIds(mac)).toBe(name);

    // The daemon starts anew and leaves it where it is.
    await daemon.terminate();
    if (kind === 'openvswitch') await endedBetween(emulated, `vif${stub}.0`, mac);
    daemon = await domnet.vifd({ config: ovs.config });
    await daemon.logged('vif adopted', own1.name);
    await daemon.logged(kind === 'openvswitch' ? 'vif attached' : 'vif adopted', emulated.name);
    if (kind === 'openvswitch') {
      expect(await ovs.vsctl(`get port ${emulated.name} external_ids:vifd-vlan-kept`)).toBe('"tag=10"');
      expect(await ovs.vsctl('get bridge ovsbr0 external_ids')).toBe('{}');
      await ovs.vsctl(`remove port ${emulated.name} external_ids vifd-vlan-kept`);
    }
    await goesBy(own1, from, address, both);
    expect(await Promise.all(both.map(stateOf))).toEqual(
      both.map(({ name }) => `ok: ${name} is attached as it should be`),
    );
    expect((await domnet.command('status', emulated.name)).stdout).toMatch(
      new RegExp(`^on standby for: +vif${own}\\.0$`, 'm'),
    );
    expect((await domnet.command('status', own1.name)).stdout).not.toContain('on standby');

    // The guest reboots without its PV driver.
    await closes(own1);
    await goesBy(emulated, from, address, both);
    await reaches(emulated, addressOf(kind, from));
    await lanFinds(kind, address);
    if (kind === 'openvswitch') expect(await ifaceIds(mac)).toBe(emulated.name);

    await connects(own1);
    await routed(kind, own1, router);
    await goesBy(own1, from, address, both);
    await lanFinds(kind, address);
    for (const vif of both) expect(await vif.read('hotplug-status')).toBe('connected');

    // dom0 takes the guest's own away: the other has all of it.
    await own1.unplug();
    await goesBy(emulated, from, address, [emulated]);
    await lanFinds(kind, address);
    await emulated.removeNetdev();
    await emulated.unplug();
    await from.unplug();
  });
});
