import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { connectUplink, guest } from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import type { Outside } from '../../support/net/outside.js';
import { until } from '../../support/process/exec.js';

// A routed guest that comes from another host: its neighbours have the MAC address of that host's gateway device.

let domnet: Domnet;
let outside: Outside;
let mac: string;
beforeAll(async () => {
  domnet = await Domnet.start();
  outside = await connectUplink(domnet);
  mac = /link\/ether (\S+)/.exec(await domnet.ip('link show eth0'))?.[1] ?? '';
});
afterAll(() => domnet.stop());

const former = '02:aa:aa:aa:aa:aa';
/** Has the router believe in the former host for as long as nothing tells it better. */
const believe = async (...addresses: string[]): Promise<void> => {
  await outside.ip('link set lan0 up');
  // It goes with a link that was down.
  await outside.ip('address replace 2001:db8::fe/64 dev lan0 nodad');
  // An entry that is not confirmed is asked for again after some seconds, which would heal it.
  for (const family of ['ipv4', 'ipv6'])
    await outside.exec('sysctl', ['-qw', `net.${family}.neigh.lan0.base_reachable_time_ms=3600000`]);
  for (const address of addresses)
    await outside.ip(`neighbour replace ${address} lladdr ${former} dev lan0 nud reachable`);
};
const believed = async (address: string): Promise<string | undefined> =>
  /lladdr (\S+)/.exec(await outside.ip(`neighbour show ${address} dev lan0`))?.[1];
const learned = (address: string): Promise<unknown> =>
  until(`the router to learn of ${address}`, async () => (await believed(address)) === mac);
/** The way back may have to be asked for again first, after a second. */
const reached = (address: string): Promise<string> =>
  outside.exec('ping', ['-n', '-c', '2', '-i', '0.5', '-W', '3', address]);
/** A guest with the addresses of both families of this domid. */
async function both(domid: number): Promise<Vif> {
  const vif = await guest(domnet, 'route', domid, { ip: `192.0.2.${domid} 2001:db8::${domid}` });
  await vif.guestIp(`address add 2001:db8::${domid}/128 dev eth0 nodad`);
  await vif.guestIp('-6 route add default via fe80::1 dev eth0');
  return vif;
}

test('the router is told of each address that comes, and of no other', async () => {
  await believe('192.0.2.5', '2001:db8::5', '192.0.2.6', '2001:db8::6', '192.0.2.77', '2001:db8::77');
  await expect(reached('192.0.2.5')).rejects.toThrow();
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  // The first guest with IPv6 has the domain forward it.
  const first = await both(5);
  const beside = await Neighbours.of(daemon, domnet, 'route');
  const guests = [first, await both(6)];
  for (const address of ['192.0.2.5', '2001:db8::5', '192.0.2.6', '2001:db8::6']) {
    await learned(address);
    await reached(address);
  }
  expect([await believed('192.0.2.77'), await believed('2001:db8::77')]).toEqual([former, former]);
  // On the gateway device alone, and nothing that a guest could take for another's.
  const told = daemon.log.flatMap(({ action }) =>
    /^(gratuitous|unsolicited)/.test(String(action)) ? [String(action)] : [],
  );
  expect(told.every((line) => line.endsWith(`dev eth0 lladdr ${mac}`))).toBe(true);
  expect(new Set(told).size).toBe(told.length);
  await beside.untouched();

  await daemon.terminate();
  const later = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  for (const { name } of guests) await later.logged('vif adopted', name);
  expect(later.log.filter(({ msg }) => msg === 'host change')).toEqual([]);
});

test('a carrier that comes late is told then, what is there already included', async () => {
  const lose = domnet.ip.bind(domnet, 'link show eth0');
  await outside.ip('link set lan0 down');
  await until('the loss', async () => (await lose()).includes('NO-CARRIER'));
  await both(8);
  await believe('192.0.2.8', '2001:db8::8', '192.0.2.5');
  for (const address of ['192.0.2.8', '2001:db8::8', '192.0.2.5']) {
    await learned(address);
    await reached(address);
  }
});
