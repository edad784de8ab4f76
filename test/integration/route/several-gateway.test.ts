import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import {
  addressOf,
  configure,
  connectUplink,
  guest,
  outer,
  pingFrom,
  plugGuest,
  reaches,
} from '../../support/net/guests.js';
import { answers } from '../../support/net/ping.js';
import type { Ping } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';
import { aSecond, connected, missing } from '../../support/process/status.js';

// What vifs need for more reach goes for a while: the default route, the gateway's address, the uplink. What is up stays
// up, and guests reach each other all the time.

let domnet: Domnet;
let daemon: Vifd;
let routed: [Vif, Vif];
let nat: [Vif, Vif];
let pings: Ping[];
let before: number;
beforeEach(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet, { version6: false });
  daemon = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  routed = [await guest(domnet, 'route', 5), await guest(domnet, 'route', 6)];
  nat = [await guest(domnet, 'nat', 7), await guest(domnet, 'nat', 8)];
  pings = [
    await pingFrom(routed[0], addressOf('route', routed[1])),
    await pingFrom(nat[0], addressOf('nat', nat[1])),
    // From one topology to the other.
    await pingFrom(routed[1], addressOf('nat', nat[1])),
  ];
  for (const vif of [...routed, ...nat]) await daemon.logged('vif attached', vif.name);
  before = daemon.log.length;
});
afterEach(() => domnet.stop());

/** What was lost while something went and came back: vifs that were taken off, errors, packets between the guests. */
async function nothingLost(): Promise<void> {
  for (const ping of pings) {
    await answers(ping, 10);
    expect((await ping.stop()).lost, 'packets lost between guests').toBe(0);
  }
  await connected(...routed, ...nat);
  const lines = daemon.log.slice(before);
  expect(lines.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
  const down = lines.filter(({ msg, action }) => msg === 'host change' && / down\b/.test(String(action)));
  expect(down).toEqual([]);
}

/** Guests of both topologies reach outside again within a second of when it is back. */
const outsideAgain = (withinMs = aSecond): Promise<unknown> =>
  Promise.all([...routed, ...nat].map((vif) => reaches(vif, outer, withinMs)));

/** Each of these lines is there once for each of the vifs. */
async function toldOnce(msg: string, vifs: readonly Vif[]): Promise<void> {
  const told = () =>
    daemon.log
      .slice(before)
      .filter((line) => line.msg === msg)
      .map(({ vif }) => vif)
      .sort();
  const expected = vifs.map(({ name }) => name).sort();
  await until(`"${msg}" of ${expected}`, () => told().length >= expected.length, aSecond);
  expect(told()).toEqual(expected);
}

describe('attached vifs outlast', () => {
  test('the default route being away', async () => {
    await domnet.ip('route delete default');
    await missing([...routed, ...nat], [/default route/]);
    await toldOnce('vif degraded', [...routed, ...nat]);
    for (const ping of pings) await answers(ping, 50);
    await connected(...routed, ...nat);
    await domnet.ip(`route add default via ${outer}`);
    await outsideAgain();
    await missing([...routed, ...nat], []);
    await toldOnce('vif no longer degraded', [...routed, ...nat]);
    await nothingLost();
  });

  test('the default route flapping', async () => {
    for (let round = 0; round < 10; round++) {
      await domnet.ip('route delete default');
      await domnet.ip(`route add default via ${outer}`);
    }
    // A look that was overtaken is taken again after half a second.
    await outsideAgain(3 * aSecond);
    await missing([...routed, ...nat], [], 3 * aSecond);
    await nothingLost();
  });

  test('a lease that is renewed: the uplink without its address, and with it again', async () => {
    await domnet.ip('address delete 192.0.2.1/24 dev eth0');
    // The default route went with it.
    await until('the loss to be told', async () => (await domnet.ip('-4 route show default')) === '');
    await missing(routed, [/eth0|default route/]);
    await missing(nat, [/default route/]);
    for (const ping of pings) await answers(ping, 50);
    await connected(...routed, ...nat);
    await domnet.ip('address add 192.0.2.1/24 dev eth0');
    await domnet.ip(`route add default via ${outer}`);
    await outsideAgain();
    await missing([...routed, ...nat], []);
    await nothingLost();
  });

  test('another address of the uplink', async () => {
    await domnet.ip('address delete 192.0.2.1/24 dev eth0');
    await domnet.ip('address add 192.0.2.77/24 dev eth0');
    await domnet.ip(`route add default via ${outer}`);
    await until('the new source', async () =>
      (await domnet.ip('route show 192.0.2.5')).includes('src 192.0.2.77 '),
    );
    await missing([...routed, ...nat], []);
    await outsideAgain();
    await nothingLost();
  });

  test('the uplink being down', async () => {
    await domnet.ip('link set eth0 down');
    await missing([...routed, ...nat], [/default route|eth0/]);
    for (const ping of pings) await answers(ping, 50);
    await domnet.ip('link set eth0 up');
    await domnet.ip(`route add default via ${outer}`);
    await outsideAgain();
    await missing([...routed, ...nat], []);
    await nothingLost();
  });

  test('the uplink being deleted and made anew', async () => {
    await domnet.ip('link delete eth0');
    await missing([...routed, ...nat], [/default route|eth0/]);
    for (const ping of pings) await answers(ping, 50);
    await connected(...routed, ...nat);
    await connectUplink(domnet, { version6: false });
    await outsideAgain();
    await missing([...routed, ...nat], []);
    const proxies = await domnet.ip('neighbour show proxy');
    for (const { domid } of routed) expect(proxies).toContain(`192.0.2.${domid} dev eth0 `);
    await nothingLost();
  });

  test('a restart of vifd while it is away, by which they are adopted', async () => {
    await domnet.ip('route delete default');
    await daemon.kill();
    const second = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
    for (const vif of [...routed, ...nat]) await second.logged('vif adopted', vif.name);
    await missing([...routed, ...nat], [/default route/]);
    for (const ping of pings) await answers(ping, 10);
    await domnet.ip(`route add default via ${outer}`);
    await outsideAgain();
    await missing([...routed, ...nat], []);
    expect(second.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
    await nothingLost();
  });
});

test('a vif that comes while there is no gateway is an error, and attached when there is one; the others stay', async () => {
  await domnet.ip('route delete default');
  const late = await plugGuest(domnet, 'route', 9);
  await late.status('error');
  expect(await late.read('hotplug-error')).toBe(
    'route vif9.0 by the default route: there is none; set gatewaydev, or gateway_device in [route]',
  );
  expect((await domnet.link('vif9.0'))?.flags).not.toContain('UP');
  await connected(...routed, ...nat);
  await domnet.ip(`route add default via ${outer}`);
  await late.connected();
  await outsideAgain();
  before = daemon.log.length;
  await nothingLost();
});

test('one that reconnects with another netdev while there is no gateway says so, and has it when it is back', async () => {
  const vif = await guest(domnet, 'route', 9);
  await domnet.ip('route delete default');
  await missing([...routed, vif], [/default route/]);
  await vif.removeNetdev();
  await vif.addNetdev();
  await until('its route', async () => (await domnet.ip('route show 192.0.2.9')).includes('dev vif9.0'));
  await missing([vif], [/default route/]);
  await configure('route', vif);
  await domnet.ip(`route add default via ${outer}`);
  await outsideAgain();
  await reaches(vif, outer, aSecond);
  await missing([...routed, vif], []);
  await connected(vif);
  await nothingLost();
});

test('gatewaydev that is not the default route’s device: only its own vifs miss it', async () => {
  await domnet.ip('link add lan1 type veth peer name lan1-peer');
  await domnet.ip('address add 198.51.100.1/24 dev lan1');
  for (const name of ['lan1-peer', 'lan1']) await domnet.ip(`link set ${name} up`);
  const vif = await guest(domnet, 'route', 9, { ip: '198.51.100.9', gatewaydev: 'lan1' });
  await domnet.ip('address flush dev lan1');
  await missing([vif], [/lan1/]);
  await connected(vif);
  await missing([...routed, ...nat], []);
  await domnet.ip('address add 198.51.100.1/24 dev lan1');
  await missing([vif], []);
  await domnet.ip('link delete lan1');
  await missing([vif], [/lan1/]);
  await connected(vif);
  await missing([...routed, ...nat], []);
  await vif.write({ gatewaydev: 'lan2' });
  await missing([vif], [/lan2/]);
  await connected(vif);
  before = daemon.log.length;
  await nothingLost();
});

test('where the default route leads is followed by a vif with a gatewaydev of its own, too', async () => {
  await domnet.ip('link add lan1 type veth peer name lan1-peer');
  await domnet.ip('address add 198.51.100.1/24 dev lan1');
  for (const name of ['lan1-peer', 'lan1']) await domnet.ip(`link set ${name} up`);
  const vif = await guest(domnet, 'route', 9, { ip: '198.51.100.9', gatewaydev: 'lan1' });
  const leaves = (device: string, by: boolean): Promise<unknown> =>
    until(
      `whether ${vif.name} leaves by ${device}: ${by}`,
      async () =>
        (await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', 'ways_out'])).includes(
          `"${vif.name}" . "${device}"`,
        ) === by,
      aSecond,
    );
  await leaves('eth0', true);
  await domnet.ip('route delete default');
  await leaves('eth0', false);
  await leaves('lan1', true);
  await domnet.ip(`route add default via ${outer}`);
  await leaves('eth0', true);
  await reaches(routed[0], outer, aSecond);
});
