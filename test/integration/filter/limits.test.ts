import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, type Kind } from '../../support/net/guests.js';
import { Background, Ping } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// A guest with limits on each topology, and beside it one without, which is the other end.

const kinds: Kind[] = ['bridge', 'route', 'nat'];
const config = (from: string): string => `
[[vif]]
domid = 1
limit = { from_guest = "${from}", to_guest = "40mbit", packets = "20kpps", broadcast = "10pps" }
[[vif]]
domid = 3
limit = { from_guest = "${from}", to_guest = "40mbit" }
[[vif]]
domid = 5
limit = { from_guest = "${from}", to_guest = "40mbit" }
`;
let domnet: Domnet;
let vifd: Vifd;
const pairs: { kind: Kind; limited: Vif; other: Vif }[] = [];

beforeAll(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet, { version6: false });
  await domnet.addBridge('xenbr0');
  vifd = await domnet.vifd({ config: config('20mbit') });
  for (const [i, kind] of kinds.entries()) {
    const limited = await guest(domnet, kind, 1 + 2 * i);
    const other = await guest(domnet, kind, 2 + 2 * i);
    pairs.push({ kind, limited, other });
  }
}, 40_000);
afterAll(() => domnet.stop());

/** The Mbit/s that a limited guest sends and is sent at the same time. */
async function measured(kind: Kind, limited: Vif, other: Vif): Promise<{ from: number; to: number }> {
  const there = await domnet.guestNamespace(other.domid);
  const server = new Background('ip', ['netns', 'exec', there, 'iperf3', '-s', '--forceflush']);
  domnet.atEnd(() => server.stop('SIGKILL'));
  await until('the server', async () => server.lines.some((line) => line.includes('listening')));
  const address = addressOf(kind, other);
  const namespace = await domnet.guestNamespace(limited.domid);
  const options = ['-c', address, '--bidir', '-O', '2', '-t', '3', '-J'];
  const told = await exec('ip', ['netns', 'exec', namespace, 'iperf3', ...options]);
  const { end } = JSON.parse(told);
  const mbit = (sum: { bits_per_second: number }): number => sum.bits_per_second / 1e6;
  return { from: mbit(end.sum_received), to: mbit(end.sum_received_bidir_reverse) };
}

test('what a guest sends and is sent comes to the rates that it has, on each topology', async () => {
  const found = await Promise.all(pairs.map(({ kind, limited, other }) => measured(kind, limited, other)));
  for (const [i, { from, to }] of found.entries()) {
    expect(from, kinds[i]).toBeGreaterThan(15);
    expect(from, kinds[i]).toBeLessThan(22);
    expect(to, kinds[i]).toBeGreaterThan(30);
    expect(to, kinds[i]).toBeLessThan(44);
  }
  const { stdout } = await domnet.command('status', 'vif3.0');
  expect(stdout).toMatch(/limited to: +20mbit from the guest, 40mbit to the guest/);
  expect(stdout).toMatch(/rate from guest [1-9]/);
  expect(stdout).toMatch(/rate to guest [1-9]/);
  // An administrator who saves the rules can load them again.
  expect(await domnet.exec('sh', ['-c', 'nft list ruleset | nft -c -f - 2>&1'])).toBe('');
}, 30_000);

test('broadcast has a limit of its own, and unicast goes on beside it', async () => {
  const [{ limited, other } = pairs[0] as never] = pairs;
  const ping = new Ping(await domnet.guestNamespace(limited.domid), addressOf('bridge', other));
  await limited
    .guestExec('ping', ['-b', '-q', '-c', '100', '-i', '0.005', '-W', '0.1', '10.7.0.255'])
    .catch(() => '');
  expect((await ping.stop()).lost).toBeLessThan(2);
  const { stdout } = await domnet.command('status', limited.name);
  const [, dropped] = /broadcast from guest (\d+)/.exec(stdout) ?? [];
  expect(Number(dropped)).toBeGreaterThan(60);
  expect(Number(dropped)).toBeLessThan(100);
});

const listed = async (): Promise<string[]> => {
  const tables = await domnet.exec('nft', ['-s', 'list', 'table', 'netdev', 'vifd']);
  return [
    ...tables.matchAll(
      /"(vif\d)\.0" limit rate over (\S+(?: \S+)?) burst|jump (limited\S*) comment "(vif\d)/g,
    ),
  ]
    .map(([, vif, rate, rules, owner]) => (vif === undefined ? `${owner} ${rules}` : `${vif} ${rate}`))
    .sort();
};
const all = (from: string): string[] =>
  [1, 3, 5]
    .flatMap((domid) => [
      `vif${domid} ${from}`,
      `vif${domid} 5000000 bytes/second`,
      `vif${domid} limited_guest`,
      `vif${domid} limited_to_guest`,
    ])
    .concat(['vif1 10/second', 'vif1 20000/second'])
    .sort();

test('rates change under a running guest, what others change is put back, and all of it goes with the key', async () => {
  // Between guests without limits.
  const ping = new Ping(await domnet.guestNamespace(4), addressOf('nat', { domid: 6 }));
  domnet.atEnd(() => ping.stop());
  const is = (from: string) =>
    until(`limits of ${from}`, async () => (await listed()).join() === all(from).join(), 3000);
  await is('2500000 bytes/second');
  writeFileSync(`${domnet.dir}/vifd.toml`, config('80mbit'));
  vifd.hangUp();
  await is('10000000 bytes/second');
  await domnet.exec('nft', [
    'delete element netdev vifd limit_from { "vif1.0" }; add element netdev vifd limit_from { "vif1.0" limit rate over 1 bytes/second burst 1 bytes comment "vif1.0" }; flush set netdev vifd limit_to; flush chain netdev vifd limited_to_guest',
  ]);
  await is('10000000 bytes/second');
  await vifd.kill();
  vifd = await domnet.vifd({ config: config('80mbit') });
  await vifd.logged('vif adopted', 'vif5.0');
  await is('10000000 bytes/second');
  writeFileSync(`${domnet.dir}/vifd.toml`, '');
  vifd.hangUp();
  await until('no limits', async () => (await listed()).length === 0);
  expect((await ping.stop()).lost).toBeLessThan(5);
});
