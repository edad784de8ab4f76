import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, outer, reaches } from '../../support/net/guests.js';
import type { Outside } from '../../support/net/outside.js';
import { until } from '../../support/process/exec.js';

// A routed guest, one beside it, and one behind NAT: only what needs its connections followed has them in conntrack's table.

let domnet: Domnet;
let uplink: Outside;
let routed: Vif;
let beside: Vif;
let hidden: Vif;
beforeAll(async () => {
  domnet = await Domnet.start();
  uplink = await connectUplink(domnet, { version6: false });
  await domnet.vifd({ config: '[[vif]]\ndomid = 8\nuplink = "vif5.0"\n' });
  routed = await guest(domnet, 'route', 5);
  beside = await guest(domnet, 'route', 7);
  hidden = await guest(domnet, 'nat', 6);
});
afterAll(() => domnet.stop());

/** How many connections conntrack follows that an address has begun. */
const followed = async (address: string): Promise<number> => {
  const listed = await domnet.exec('conntrack', ['-L', '-s', address]);
  return listed.split('\n').filter((line) => line.includes(`src=${address} `)).length;
};

const datagrams = async (from: Vif, to: string, count: number): Promise<void> => {
  const send = `s.sendto(b"x", ("${to}", 10000 + i))`;
  const program = `import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor i in range(${count}): ${send}`;
  await from.guestExec('python3', ['-c', program]);
};

const untracked = async (): Promise<boolean> =>
  (await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', 'untracked'])).includes(`"${routed.name}"`);

test('what is only routed does not fill the table, and all others reach each other', async () => {
  const [own, masqueraded] = [addressOf('route', routed), addressOf('nat', hidden)];
  await datagrams(routed, outer, 2000);
  await datagrams(routed, addressOf('route', beside), 100);
  await datagrams(routed, masqueraded, 100);
  await reaches(routed, outer);
  await reaches(routed, addressOf('route', beside));
  await reaches(routed, masqueraded);
  expect(await followed(own)).toBe(0);
  // What a guest behind NAT sends out is followed, and what the domain itself begins.
  await datagrams(hidden, outer, 50);
  await reaches(hidden, outer);
  await reaches(hidden, own);
  expect(await followed(masqueraded)).toBeGreaterThanOrEqual(50);
  await domnet.exec('ping', ['-c', '1', '-W', '1', own]);
  expect(await followed('192.0.2.1')).toBeGreaterThan(0);
  expect(await followed(own)).toBe(0);
  expect(Number(await domnet.exec('conntrack', ['-C']))).toBeLessThan(1000);
});

test('it is followed as soon as rules of another program may ask for it', async () => {
  const own = addressOf('route', routed);
  const forwarded = `iifname "eth0" icmp type echo-request ip daddr 192.0.2.1 dnat to ${own}`;
  const stateful = 'ct state established,related accept; iifname "vif*" accept; ct status dnat accept;';
  await domnet.exec('nft', [
    `table ip mine {
      chain in { type nat hook prerouting priority -100; ${forwarded}; }
      chain between { type filter hook forward priority 0; policy drop; ${stateful} }
    }`,
  ]);
  await until('it to be followed', async () => !(await untracked()));
  await uplink.exec('ping', ['-c', '1', '-W', '1', '192.0.2.1']);
  for (const vif of [routed, beside, hidden]) await reaches(vif, outer);
  expect(await followed(own)).toBeGreaterThan(0);
  await domnet.exec('nft', ['delete table ip mine']);
  await until('it to be followed no longer', untracked);
  for (const vif of [routed, beside, hidden]) await reaches(vif, outer);
});

test('it is followed while another guest is masqueraded behind it, and the one beside is not', async () => {
  await until('it not to be followed', untracked);
  const behind = await guest(domnet, 'nat', 8);
  await reaches(behind, addressOf('route', routed), 2000);
  expect(await untracked()).toBe(false);
  for (const vif of [beside, hidden]) await reaches(vif, outer);
  expect(await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', 'untracked'])).toContain(
    `"${beside.name}"`,
  );
});
