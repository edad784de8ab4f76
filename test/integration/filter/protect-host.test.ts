import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { connectUplink, guest } from '../../support/net/guests.js';
import { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

/*
 * What guests reach of the driver domain itself: on a bridge with addresses, by default and with `protect_host`, and where
 * they are routed, with `services`.
 */

const program = fileURLToPath(new URL('../../support/packets/services.py', import.meta.url));
let domnet: Domnet;
let daemon: Vifd;
/** On the bridge: without `ip`, and held. */
let bare: Vif;
let held: Vif;
let natted: Vif;
let routed: Vif;
let linkLocal: string;
const servers: Background[] = [];
/** A host on the LAN, at the bridge's other port. */
let lan: Outside;

beforeAll(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet, { version6: false });
  await domnet.addBridge('xenbr0');
  for (const address of ['10.7.0.1/24 brd +', '2001:db8:7::1/64 nodad'])
    await domnet.ip(`address add ${address} dev xenbr0`);
  // Another address of the domain's.
  await domnet.ip('address add 10.8.0.1/32 dev lo');
  lan = await Outside.connect(domnet, {
    device: 'lan9',
    addresses: [],
    peer: ['10.7.0.90/24', '2001:db8:7::90/64'],
    number: 90,
  });
  await domnet.ip('link set lan9 master xenbr0');
  await lan.ip('route add default via 10.7.0.1');
  daemon = await domnet.vifd({ config: '' });
  bare = await domnet.plug({ domid: 1 });
  held = await domnet.plug({ domid: 2, keys: { ip: '10.7.0.12 2001:db8:7::12' } });
  for (const vif of [bare, held]) {
    await vif.connected();
    await vif.guestIp(`address add 10.7.0.1${vif.domid}/24 brd + dev eth0`);
    await vif.guestIp(`-6 address add 2001:db8:7::1${vif.domid}/64 dev eth0 nodad`);
    await vif.guestIp('route add default via 10.7.0.1');
  }
  natted = await guest(domnet, 'nat', 3);
  routed = await guest(domnet, 'route', 4);
  const shown = await domnet.ip('-6 address show dev xenbr0 scope link');
  linkLocal = `${/inet6 (fe80[^/]*)/.exec(shown)?.[1]}%eth0`;
  for (const namespace of [domnet.namespace, await domnet.guestNamespace(1), lan.namespace])
    servers.push(
      new Background('ip', ['netns', 'exec', namespace, 'python3', program, 'serve', '22', '53', '67']),
    );
  await until('the servers', () => servers.every(({ lines }) => lines.includes('serving')) || undefined);
});
afterAll(async () => {
  for (const server of servers) await server.stop('SIGKILL');
  await domnet.stop();
});

/** The addresses that answered, by what was asked. */
async function ask(namespace: string, targets: readonly string[], size = 1): Promise<[string, string[]][]> {
  const client = ['env', `SIZE=${size}`, 'python3', program, 'ask', ...targets];
  return Object.entries(JSON.parse(await exec('ip', ['netns', 'exec', namespace, ...client])));
}

/** Expects that all of these are answered, which under load may take a second try. */
async function answered(namespace: string, targets: readonly string[], size = 1): Promise<void> {
  await until(`answers in ${namespace}`, async () => {
    const found = (await ask(namespace, targets, size)).map(([target]) => target);
    return targets.every((target) => found.includes(target)) || undefined;
  });
}

/** All ways to the domain's services at a port. */
const ways = (port: number): string[] => [
  ...['10.7.0.1', '10.8.0.1', '2001:db8:7::1', linkLocal].flatMap((to) => [
    `tcp/${to}/${port}`,
    `udp/${to}/${port}`,
  ]),
  ...['224.0.0.1', '255.255.255.255', '10.7.0.255', 'ff02::1%eth0'].map((to) => `udp/${to}/${port}`),
];

/** Those of a guest's questions that the domain itself answers; at a group's address others do so as well. */
async function reached(vif: Vif, targets: readonly string[], size = 1): Promise<string[]> {
  const own = new Set(['10.7.0.1', '10.8.0.1', '2001:db8:7::1', linkLocal.replace(/%.*/, '')]);
  const found = await ask(await domnet.guestNamespace(vif.domid), targets, size);
  return found
    .filter(([target, from]) => target.startsWith('tcp') || from.some((one) => own.has(one)))
    .map(([target]) => target);
}

/** Waits until a guest reaches these and no others of the targets. */
const reaches = (vif: Vif, targets: readonly string[], expected: readonly string[]): Promise<unknown> =>
  until(`what ${vif.name} reaches`, async () => {
    const found = await reached(vif, targets);
    return JSON.stringify(found) === JSON.stringify(expected) || undefined;
  });

async function configure(config: string): Promise<void> {
  writeFileSync(join(domnet.dir, 'vifd.toml'), config);
  const before = daemon.log.length;
  daemon.hangUp();
  await until('the new configuration', () =>
    daemon.log.slice(before).some(({ msg }) => msg === 'configuration reloaded') ? true : undefined,
  );
}

/** The vif's elements in one of the sets of `netdev vifd`, or of `inet vifd`. */
const inSet = async (set: string, { name }: Vif, family = 'netdev'): Promise<boolean> =>
  (await domnet.exec('nft', ['list', 'set', family, 'vifd', set]).catch(() => '')).includes(`"${name}"`);

const closed = '[bridge]\nprotect_host = true\n';
async function close(config: string): Promise<void> {
  await configure(config);
  for (const vif of [bare, held])
    await until(`${vif.name} is closed`, async () => (await inSet('closed', vif)) || undefined);
}

describe.each([0, 1])('with bridge-nf-call-iptables=%s', (calls) => {
  beforeAll(async () => {
    const switches = ['iptables', 'ip6tables'].map((of) => `net.bridge.bridge-nf-call-${of}=${calls}`);
    await domnet.exec('sysctl', ['-qw', ...switches]);
  });

  it('a bridge is open by default', async () => {
    await configure('');
    await until('no vif is closed', async () =>
      (await inSet('closed', bare)) || (await inSet('closed', held)) ? undefined : true,
    );
    await Promise.all([bare, held].map((vif) => reaches(vif, ways(22), ways(22))));
  });

  it('protect_host closes all services to all guests at every address, and nothing else', async () => {
    await close(closed);
    const all = [22, 53, 67].flatMap(ways);
    expect(await Promise.all([bare, held].map((vif) => reached(vif, all)))).toEqual([[], []]);
    // A datagram in fragments.
    expect(await reached(bare, ['udp/10.7.0.1/22', 'udp/2001:db8:7::1/22'], 4000)).toEqual([]);
    // Guests reach each other and the LAN, by link-local and by group addresses too, and the LAN reaches the domain.
    const between = ['tcp/10.7.0.1/22', 'udp/2001:db8:7::1/22', 'udp/224.0.0.1/53', 'udp/255.255.255.255/67'];
    await answered(lan.namespace, between);
    const neighbour = (await bare.guestIp('-6 address show dev eth0 scope link')).match(
      /inet6 (fe80[^/]*)/,
    )?.[1];
    const beside = [
      'tcp/10.7.0.90/22',
      'udp/10.7.0.90/67',
      'tcp/2001:db8:7::90/22',
      'udp/224.0.0.1/53',
      'udp/255.255.255.255/67',
      'udp/ff02::1%eth0/53',
    ];
    const [free, own] = await Promise.all([bare, held].map(({ domid }) => domnet.guestNamespace(domid)));
    // Port 67 is for real DHCP alone where a guest is held.
    const notDhcp = beside.filter((target) => !target.endsWith('/67'));
    await Promise.all([
      answered(`${own}`, [...notDhcp, `tcp/${neighbour}%eth0/22`, `udp/${neighbour}%eth0/53`]),
      answered(`${free}`, beside),
    ]);
    await answered(`${own}`, ['udp/10.7.0.90/22', 'udp/2001:db8:7::90/22'], 4000);
    // What the domain began is answered, and ARP, neighbour discovery and echo.
    await bare.guestIp('neighbour flush all');
    for (const to of ['10.7.0.1', '2001:db8:7::1', linkLocal])
      await bare.guestExec('ping', ['-c', '1', '-W', '5', to]);
    await answered(domnet.namespace, ['tcp/10.7.0.11/53', 'udp/10.7.0.11/53', 'udp/2001:db8:7::11/53']);
  });

  it('services stay open, also to datagrams in fragments, and are closed again', async () => {
    await close(`${closed}services = ["dhcp", "dns", "tcp/22"]\n`);
    const all = [22, 53, 67].flatMap(ways);
    const expected = [
      ...ways(22).filter((way) => way.startsWith('tcp')),
      ...ways(53),
      ...ways(67).filter((way) => /udp\/[\d.]+\//.test(way)),
    ];
    const notDhcp = expected.filter((way) => !way.endsWith('/67'));
    await Promise.all([reaches(bare, all, expected), reaches(held, all, notDhcp)]);
    await answered(
      await domnet.guestNamespace(held.domid),
      ['udp/10.7.0.1/53', 'udp/2001:db8:7::1/53'],
      4000,
    );
    await close(closed);
    await Promise.all([bare, held].map((vif) => reaches(vif, all, [])));
  });
});

it('a closed bridge opens by no frame for a group of bridges, and what it forwards has no mark', async () => {
  await close(`${closed}[[vif]]\nmac = "00:16:3e:00:01:00"\ncontrol_frames = true\n`);
  await until('control frames', async () => (await inSet('switches', bare)) || undefined);
  await domnet.exec('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.bridge.bridge-nf-call-iptables=0']);
  await domnet.exec('nft', [
    'add table ip seen; add chain ip seen out { type filter hook forward priority 0; }; add rule ip seen out meta mark 0 ip daddr 10.9.0.77 counter',
  ]);
  await domnet.ip('route add 10.9.0.77 via 10.7.0.90');
  await bare.guestExec('ping', ['-c', '1', '-W', '0.2', '10.9.0.77']).catch(() => undefined);
  expect(await domnet.exec('nft', ['list', 'table', 'ip', 'seen'])).toMatch(/counter packets 1 /);
  // The kernel takes 01:80:c2:00:00:0e at the port, and others, as of spanning tree, by the bridge.
  for (const group of ['01:80:c2:00:00:0e', '01:80:c2:00:00:00', '01:00:5e:00:00:01', '33:33:00:00:00:01']) {
    for (const to of ['10.7.0.1', '2001:db8:7::1'])
      await bare.guestIp(`neighbour replace ${to} lladdr ${group} dev eth0 nud permanent`);
    expect(await reached(bare, ways(22))).toEqual([]);
  }
  for (const to of ['10.7.0.1', '2001:db8:7::1']) await bare.guestIp(`neighbour delete ${to} dev eth0`);
});

it('services of [route] and [nat] open to their guests what they name, and no more', async () => {
  const routers: [Vif, string][] = [
    [routed, '192.0.2.1'],
    [natted, '10.0.3.128'],
  ];
  const at = (address: string) =>
    ['tcp', 'udp'].flatMap((of) => [`${of}/${address}/22`, `${of}/${address}/53`]);
  for (const [vif, router] of routers) expect(await reached(vif, at(router))).toEqual([]);
  await configure('[route]\nservices = ["tcp/22"]\n[nat]\nservices = ["dns"]\n');
  await answered(await domnet.guestNamespace(4), ['tcp/192.0.2.1/22']);
  await answered(await domnet.guestNamespace(3), ['tcp/10.0.3.128/53', 'udp/10.0.3.128/53']);
  for (const [vif, router, rest] of [
    [routed, '192.0.2.1', 'udp'],
    [natted, '10.0.3.128', 'tcp'],
  ] as const)
    expect(await ask(await domnet.guestNamespace(vif.domid), [`${rest}/${router}/22`])).toEqual([]);
  await configure('');
  await until('they are closed', async () =>
    (await inSet('services', routed, 'inet')) || (await inSet('services', natted, 'inet')) ? undefined : true,
  );
  for (const [vif, router] of routers)
    expect(await ask(await domnet.guestNamespace(vif.domid), at(router))).toEqual([]);
});
