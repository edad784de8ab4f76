import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

const program = fileURLToPath(new URL('../../support/packets/services.py', import.meta.url));
let domnet: Domnet;
let daemon: Vifd;
/** Without `ip`, and held. */
let bare: Vif;
let held: Vif;
let linkLocal: string;
const servers: Background[] = [];
/** A host on the LAN, at the bridge's other port. */
let lan: string;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  for (const address of ['10.7.0.1/24', '2001:db8:7::1/64'])
    await domnet.ip(`address add ${address} dev xenbr0 ${address.includes(':') ? 'nodad' : 'brd +'}`);
  // Another network of the domain's.
  await domnet.ip('address add 10.8.0.1/32 dev lo');
  lan = await domnet.guestNamespace(90);
  await domnet.ip(`link add lan0 type veth peer name eth0 netns ${lan}`);
  await domnet.ip('link set lan0 master xenbr0 up');
  await exec('ip', ['-n', lan, 'link', 'set', 'eth0', 'up']);
  await exec('ip', ['-n', lan, 'address', 'add', '10.7.0.90/24', 'dev', 'eth0']);
  await exec('ip', ['-n', lan, '-6', 'address', 'add', '2001:db8:7::90/64', 'dev', 'eth0', 'nodad']);
  daemon = await domnet.vifd({ config: '' });
  bare = await domnet.plug({ domid: 1, keys: { ip: undefined } });
  held = await domnet.plug({ domid: 2, keys: { ip: '10.7.0.12 2001:db8:7::12' } });
  for (const vif of [bare, held]) {
    await vif.connected();
    await vif.guestIp(`address add 10.7.0.1${vif.domid}/24 brd + dev eth0`);
    await vif.guestIp(`-6 address add 2001:db8:7::1${vif.domid}/64 dev eth0 nodad`);
    await vif.guestIp('route add default via 10.7.0.1');
  }
  const shown = await domnet.ip('-6 address show dev xenbr0 scope link');
  linkLocal = `${/inet6 (fe80[^/]*)/.exec(shown)?.[1]}%eth0`;
  for (const namespace of [domnet.namespace, await domnet.guestNamespace(1), lan])
    servers.push(
      new Background('ip', ['netns', 'exec', namespace, 'python3', program, 'serve', '22', '53', '67']),
    );
  await until('the servers', () => servers.every(({ lines }) => lines.includes('serving')) || undefined);
});
afterAll(async () => {
  for (const server of servers) await server.stop('SIGKILL');
  await domnet.stop();
});

const ask = async (namespace: string, targets: readonly string[]): Promise<string[]> =>
  JSON.parse(await exec('ip', ['netns', 'exec', namespace, 'python3', program, 'ask', ...targets]));

/** All ways to the domain's services at a port. */
const ways = (port: number): string[] => [
  ...['10.7.0.1', '10.8.0.1', '2001:db8:7::1', linkLocal].flatMap((to) => [
    `tcp/${to}/${port}`,
    `udp/${to}/${port}`,
  ]),
  ...['224.0.0.1', '255.255.255.255', '10.7.0.255', 'ff02::1%eth0'].map((to) => `udp/${to}/${port}`),
];

/** Those of a guest's questions that the domain itself answers: at a group's address another host may have done so. */
const reached = async (vif: Vif, targets: readonly string[]): Promise<string[]> =>
  await ask(await domnet.guestNamespace(vif.domid), targets);

/** Stops the servers of others, or lets them go on, so that only the domain answers at a group's address. */
function others(signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const server of servers.slice(1)) server.signal(signal);
}

const configure = async (config: string): Promise<void> => {
  writeFileSync(join(domnet.dir, 'vifd.toml'), config);
  const before = daemon.log.length;
  daemon.hangUp();
  await until('the new configuration', () =>
    daemon.log.slice(before).some(({ msg }) => msg === 'configuration reloaded') ? true : undefined,
  );
};

const closed = '[bridge]\nprotect_host = true\n';
const closesBoth = async (config: string): Promise<void> => {
  await configure(config);
  for (const vif of [bare, held])
    await until(
      `${vif.name} closed`,
      async () =>
        (await domnet.exec('nft', ['list', 'ruleset'])).match(
          new RegExp(`set closed \\{[^}]*elements = \\{[^}]*"${vif.name}"`),
        ) ?? undefined,
    );
};

describe.each([0, 1])('with bridge-nf-call-iptables=%s', (calls) => {
  beforeAll(async () => {
    const switches = ['iptables', 'ip6tables'].map((of) => `net.bridge.bridge-nf-call-${of}=${calls}`);
    await domnet.exec('sysctl', ['-qw', ...switches]);
  });

  it('a bridge is open by default', async () => {
    await configure('');
    others('SIGSTOP');
    const of = ways(22);
    await until('it is open', async () => (await reached(bare, of)).length === of.length || undefined);
    expect(await reached(held, of)).toEqual(of);
  });

  it('protect_host closes all services to all guests at every address, and nothing else', async () => {
    await closesBoth(closed);
    others('SIGSTOP');
    const all = [22, 53, 67].flatMap(ways);
    expect(await reached(bare, all)).toEqual([]);
    expect(await reached(held, all)).toEqual([]);
    others('SIGCONT');
    // Guests reach each other and the LAN, by group addresses too, and the LAN reaches the domain.
    const between = ['tcp/10.7.0.1/22', 'udp/2001:db8:7::1/22', 'udp/224.0.0.1/53', 'udp/255.255.255.255/67'];
    expect(await ask(lan, between)).toEqual(between);
    const beside = [
      'tcp/10.7.0.90/22',
      'udp/10.7.0.90/67',
      'tcp/2001:db8:7::90/22',
      'udp/224.0.0.1/53',
      'udp/255.255.255.255/67',
    ];
    for (const vif of [bare, held]) expect(await reached(vif, beside)).toEqual(beside);
    expect(await reached(held, ['tcp/10.7.0.1/22', 'tcp/10.7.0.1/53', 'tcp/2001:db8:7::1/53'])).toEqual([]);
    // What the domain began is answered, and ARP, neighbour discovery and echo.
    await bare.guestIp('neighbour flush all');
    for (const to of ['10.7.0.1', '2001:db8:7::1', linkLocal])
      await bare.guestExec('ping', ['-c', '1', '-W', '5', to]);
    const answered = ['tcp/10.7.0.11/53', 'udp/10.7.0.11/53', 'udp/2001:db8:7::11/53'];
    expect(await ask(domnet.namespace, answered)).toEqual(answered);
  });

  it('services stay open, and are closed again', async () => {
    await closesBoth(`${closed}services = ["dhcp", "dns", "tcp/22"]\n`);
    others('SIGSTOP');
    const expected = [
      ...ways(22).filter((way) => way.startsWith('tcp')),
      ...ways(53),
      ...ways(67).filter((way) => /udp\/[\d.]+\//.test(way)),
    ];
    const all = [22, 53, 67].flatMap(ways);
    for (const vif of [bare, held])
      await until(
        'the services',
        async () => JSON.stringify(await reached(vif, all)) === JSON.stringify(expected) || undefined,
      );
    await closesBoth(closed);
    await until('they are closed', async () => (await reached(held, all)).length === 0 || undefined);
    others('SIGCONT');
  });
});

it('a frame for a group of the bridge itself opens nothing, and what passes the vif is forwarded without a mark', async () => {
  await closesBoth(closed);
  await domnet.exec('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.bridge.bridge-nf-call-iptables=0']);
  await domnet.exec('nft', [
    'add table ip seen; add chain ip seen out { type filter hook forward priority 0; }; add rule ip seen out meta mark 0 ip daddr 10.9.0.77 counter',
  ]);
  await domnet.ip('route add 10.9.0.77 via 10.7.0.90');
  await bare.guestIp('route replace 10.9.0.77 via 10.7.0.1');
  await bare.guestExec('ping', ['-c', '1', '-W', '1', '10.9.0.77']).catch(() => undefined);
  expect(await domnet.exec('nft', ['list', 'table', 'ip', 'seen'])).toMatch(/counter packets 1 /);
  // 01:80:c2:00:00:0e is delivered at the port, not by the bridge.
  await bare.guestIp('neighbour replace 10.7.0.1 lladdr 01:80:c2:00:00:0e dev eth0');
  expect(await reached(bare, ['udp/10.7.0.1/22'])).toEqual([]);
  await bare.guestIp('neighbour delete 10.7.0.1 dev eth0');
});
