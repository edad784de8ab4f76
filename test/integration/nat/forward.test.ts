import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { connectUplink, guest } from '../../support/net/guests.js';
import type { Outside } from '../../support/net/outside.js';
import { Background, Ping } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// Ports of the driver domain that lead to guests behind NAT, asked for from outside, by guests, and by a guest at its own port.

const program = fileURLToPath(new URL('../../support/packets/whois.py', import.meta.url));
const config = (udp: number): string => `
[[forward]]
listen = { port = 2222, proto = "tcp" }
to = { mac = "00:16:3e:00:05:00", port = 22 }
[[forward]]
listen = { port = 5300, proto = "udp" }
to = { ip = "10.0.${udp}.1", port = 53 }
`;
let domnet: Domnet;
let vifd: Vifd;
let outside: Outside;
let guests: readonly [Vif, Vif, Vif];
let routed: Vif;
/** Between two guests that no port leads to, all the time. */
let others: Ping;

beforeAll(async () => {
  domnet = await Domnet.start();
  outside = await connectUplink(domnet);
  // Addresses of the domain that are not the uplink's, and guests' own: there is a way to them, and nothing is to be reached.
  await domnet.ip('address add 10.8.0.1/32 dev lo');
  await outside.ip('route add 10.0.0.0/8 via 192.0.2.1');
  vifd = await domnet.vifd({ config: config(6) });
  guests = [
    await guest(domnet, 'nat', 5, { ip: '10.0.5.1/16 fd00:5::1' }),
    await guest(domnet, 'nat', 6),
    await guest(domnet, 'nat', 7),
  ];
  routed = await guest(domnet, 'route', 8);
  await guests[0].guestIp('address add fd00:5::1/128 dev eth0 nodad');
  await guests[0].guestIp('-6 route add default via fe80::1 dev eth0');
  for (const { domid } of guests) await serve(domid);
  others = new Ping(await domnet.guestNamespace(8), '10.0.7.1');
  domnet.atEnd(() => others.stop());
}, 30_000);
afterAll(() => domnet.stop());

async function serve(domid: number): Promise<void> {
  const namespace = await domnet.guestNamespace(domid);
  const server = new Background('ip', [
    ...['netns', 'exec', namespace, 'python3', program],
    ...['serve', `guest${domid}`, '22', '53', '2222'],
  ]);
  domnet.atEnd(() => server.stop('SIGKILL'));
  await until('the server', async () => server.lines.length > 0);
}

/** Who answers there, and by which address the client is known: `guest5 192.0.2.254`. */
const ask = async (namespace: string, ...targets: string[]): Promise<string[]> =>
  (await exec('ip', ['netns', 'exec', namespace, 'python3', program, 'ask', ...targets])).trim().split('\n');
const fromOutside = (...targets: string[]): Promise<string[]> => ask(outside.namespace, ...targets);
const fromGuest = async ({ domid }: Vif, ...targets: string[]): Promise<string[]> =>
  ask(await domnet.guestNamespace(domid), ...targets);

/** What is forwarded, as `address . protocol . port : guest . port`. */
async function forwarded(): Promise<string[]> {
  const listed = await domnet.exec('nft', ['list', 'table', 'inet', 'vifd']).catch(() => '');
  return [...listed.matchAll(/(\S+ \. (?:tcp|udp) \. \d+) comment "(vif[\d.]+)" : (\S+ \. \d+)/g)]
    .map(([, from, vif, to]) => `${vif}: ${from} : ${to}`)
    .sort();
}
const isForwarded = (expected: string[]) =>
  until(`the ports ${expected.join(', ')}`, async () => (await forwarded()).join() === expected.join(), 3000);

async function configure(text: string): Promise<void> {
  writeFileSync(`${domnet.dir}/vifd.toml`, text);
  const reloads = (): number => vifd.log.filter(({ msg }) => msg === 'configuration reloaded').length;
  const before = reloads();
  vifd.hangUp();
  await until('the reload', async () => reloads() > before);
}

const all = [
  'vif5.0: 192.0.2.1 . tcp . 2222 : 10.0.5.1 . 22',
  'vif5.0: 2001:db8::1 . tcp . 2222 : fd00:5::1 . 22',
  'vif6.0: 192.0.2.1 . udp . 5300 : 10.0.6.1 . 53',
];

test('a port leads to its guest from outside, from other guests and from the guest itself', async () => {
  expect(await forwarded()).toEqual(all);
  const targets = ['tcp/192.0.2.1/2222', 'tcp/2001:db8::1/2222', 'udp/192.0.2.1/5300'];
  expect(await fromOutside(...targets)).toEqual([
    'guest5 192.0.2.254',
    'guest5 2001:db8::fe',
    'guest6 192.0.2.254',
  ]);
  expect(await fromGuest(guests[1], 'tcp/192.0.2.1/2222')).toEqual(['guest5 10.0.6.1']);
  expect(await fromGuest(guests[0], ...targets)).toEqual([
    'guest5 10.0.5.128',
    'guest5 2001:db8::1',
    'guest6 10.0.5.1',
  ]);
  // What is routed has no state of connections otherwise.
  expect(await fromGuest(routed, 'tcp/192.0.2.1/2222')).toEqual(['guest5 192.0.2.8']);
  const { stdout } = await domnet.command('status', 'vif5.0');
  expect(stdout).toContain('192.0.2.1 tcp/2222 to 10.0.5.1 port 22');
});

test('and nothing else does', async () => {
  const closed = [
    'tcp/192.0.2.1/22',
    'udp/192.0.2.1/2222',
    'tcp/192.0.2.1/5300',
    'tcp/10.8.0.1/2222',
    'tcp/10.0.5.1/22',
    'tcp/10.0.7.1/22',
  ];
  expect(await fromOutside(...closed)).toEqual(closed.map(() => 'none'));
});

test('a flow that never pauses follows the port to another guest, and the port an address of the uplink', async () => {
  const flow = new Background('ip', [
    ...['netns', 'exec', outside.namespace, 'python3', program],
    ...['flow', '192.0.2.1', '5300'],
  ]);
  domnet.atEnd(() => flow.stop('SIGKILL'));
  await until('an answer', async () => flow.lines.join() === 'guest6 192.0.2.254');
  await configure(config(7));
  await until('an answer of the other', async () => flow.lines.length > 1);
  expect(flow.lines).toEqual(['guest6 192.0.2.254', 'guest7 192.0.2.254']);
  await domnet.ip('address add 192.0.2.3/24 dev eth0');
  await isForwarded([
    all[0] ?? '',
    'vif5.0: 192.0.2.3 . tcp . 2222 : 10.0.5.1 . 22',
    all[1] ?? '',
    'vif7.0: 192.0.2.1 . udp . 5300 : 10.0.7.1 . 53',
    'vif7.0: 192.0.2.3 . udp . 5300 : 10.0.7.1 . 53',
  ]);
  expect(await fromOutside('tcp/192.0.2.3/2222')).toEqual(['guest5 192.0.2.254']);
  await domnet.ip('address delete 192.0.2.3/24 dev eth0');
  await configure(config(6));
  await isForwarded(all);
  await until('an answer of the first', async () => flow.lines.length > 2);
  expect(flow.lines[2]).toBe('guest6 192.0.2.254');
});

test('a restart changes nothing, and what others delete or change is put back', async () => {
  await vifd.kill();
  vifd = await domnet.vifd({ config: config(6) });
  expect(vifd.log.filter(({ msg }) => /vif (changed|repaired)/.test(msg))).toEqual([]);
  await isForwarded(all);
  const element = '192.0.2.1 . tcp . 2222';
  await domnet.exec('nft', [
    `delete element inet vifd forwards4 { ${element} }; add element inet vifd forwards4 { ${element} : 10.0.7.1 . 22 }; flush map inet vifd forwards6`,
  ]);
  await isForwarded(all);
  expect(await fromOutside('tcp/192.0.2.1/2222')).toEqual(['guest5 192.0.2.254']);
});

test('a port leads to the next guest that has it named when the netdev of the first has gone, whatever its name', async () => {
  const mac = '00:16:3e:00:99:00';
  await configure(
    `${config(6)}[[forward]]\nlisten = { port = 7777, proto = "tcp" }\nto = { mac = "${mac}", port = 22 }\n`,
  );
  const first = await guest(domnet, 'nat', 9, { mac, vifname: 'web0' });
  const next = await guest(domnet, 'nat', 10, { mac, ip: '10.0.10.1/16' });
  const at = (domid: number) => `vif${domid}.0: 192.0.2.1 . tcp . 7777 : 10.0.${domid}.1 . 22`;
  await isForwarded([...all, at(9)].sort());
  await first.removeNetdev('web0');
  await isForwarded([...all, at(10)].sort());
  await first.unplug();
  await next.unplug();
  await isForwarded(all);
});

test('a guest that goes takes its ports along, and so does the key', async () => {
  await guests[0].unplug();
  await isForwarded(all.slice(2));
  expect(await fromOutside('tcp/192.0.2.1/2222')).toEqual(['none']);
  await configure('');
  await isForwarded([]);
  expect(await fromOutside('udp/192.0.2.1/5300')).toEqual(['none']);
  expect((await others.stop()).lost).toBeLessThan(3);
});
