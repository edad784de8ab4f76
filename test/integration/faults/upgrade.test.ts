import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { addressOf, guest, type Kind, outer, pingFrom, prepareTopologies } from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { answers } from '../../support/net/ping.js';
import { type EarlierVif, makeEarlier } from '../../support/net/release-0.1.0.js';
import { until } from '../../support/process/exec.js';

/** The main.js of a build of 0.1.0, which then makes the state itself; else it is made in its place. */
const old = process.env.VIFD_OLD;
const kinds: readonly Kind[] = ['bridge', 'route', 'nat', 'openvswitch'];

let domnet: Domnet;
let ovs: OpenVswitch;
let config: string;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  config = `${ovs.config}[nat]\ndhcp = "dnsmasq"\n`;
});
afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

/** Two guests of a topology, one of them with a name of its own; those that 0.1.0 could hold are held. */
async function guestsOf(kind: Kind, first: number): Promise<[EarlierVif, EarlierVif]> {
  const of = async (domid: number, keys: Record<string, string>): Promise<EarlierVif> => {
    const isHeld = kind !== 'openvswitch';
    const address = addressOf(kind, { domid });
    const vif = await guest(domnet, kind, domid, { ...(isHeld ? { ip: address } : {}), ...keys });
    return { vif, topology: kind as 'nat', ...(isHeld ? { address } : {}) };
  };
  return [await of(first, {}), await of(first + 1, { vifname: `web${first + 1}` })];
}

test('what 0.1.0 has left is taken over without a lost packet, and what this release does not know goes', async () => {
  const before: Vifd = await domnet.vifd({ config, ...(old === undefined ? {} : { main: old }) });
  const pairs: [EarlierVif, EarlierVif][] = [];
  for (const [i, kind] of kinds.entries()) pairs.push(await guestsOf(kind, 11 + 10 * i));
  const all = pairs.flat();
  if (old === undefined) {
    await before.terminate();
    await makeEarlier(domnet, all, 'eth0');
  }
  const pings = await Promise.all(
    kinds.map((kind, i) => {
      const [one, other] = pairs[i] as [EarlierVif, EarlierVif];
      const isSwitched = kind === 'bridge' || kind === 'openvswitch';
      return pingFrom(one.vif, isSwitched ? addressOf(kind, other.vif) : outer);
    }),
  );
  if (old !== undefined) await before.terminate();

  const after = await domnet.vifd({ config });
  for (const ping of pings) await answers(ping, 10);
  expect(await Promise.all(pings.map(async (ping) => (await ping.stop()).lost))).toEqual([0, 0, 0, 0]);
  expect(after.log.filter(({ level }) => level !== 'info')).toEqual([]);
  expect((await domnet.exec('nft', ['list', 'tables'])).trim().split('\n').sort()).toEqual([
    'table inet vifd',
    'table netdev vifd',
  ]);
  const rules = await domnet.exec('nft', ['-s', 'list', 'ruleset']);
  expect(rules).not.toMatch(
    /set (reverse|protected|dhcp|dns|guests[46]) |chain (prerouting|input|postrouting) |#12ab/,
  );
  // One that was held is held on, by this release's rules.
  for (const { vif, address } of all)
    if (address !== undefined) expect(rules).toContain(`${address} comment "${vif.name}"`);
  expect((await domnet.command('plan')).stdout).toMatch(/^(\S+: nothing to do\n|\s*\n)*/);

  for (const { vif } of all) await (vif as Vif).unplug();
  await until('the end of its tables', async () => (await domnet.exec('nft', ['list', 'tables'])) === '');
  for (const kind of ['hosts', 'options'])
    if (existsSync(`${domnet.dir}/dhcp/${kind}`))
      expect(readdirSync(`${domnet.dir}/dhcp/${kind}`)).toEqual([]);
  expect(await after.terminate()).toBe(0);
});
