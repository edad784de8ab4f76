import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { connectUplink, guest, reaches } from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import type { Outside } from '../../support/net/outside.js';
import { until } from '../../support/process/exec.js';
import { connected } from '../../support/process/status.js';

// Proxy and neighbour entries belong to one vif each; the kernel tells of neither.

let domnet: Domnet;
let outside: Outside;
beforeEach(async () => {
  domnet = await Domnet.start();
  outside = await connectUplink(domnet);
});
afterEach(() => domnet.stop());

const proxies = async (): Promise<string[]> =>
  (await domnet.ip('neighbour show proxy'))
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ').slice(0, 3).join(' '))
    .sort();
const entries = async (name: string): Promise<string[]> =>
  (await domnet.ip(`neighbour show dev ${name} nud permanent`)).split('\n').filter(Boolean).sort();

const both = { ip: '192.0.2.5 2001:db8::5' };

test('of a vif that goes its own proxy entries go, at once, and not those of others or of the administrator', async () => {
  await domnet.ip('neighbour add proxy 192.0.2.99 dev eth0');
  await domnet.ip('neighbour add proxy 192.0.2.98 dev eth0 protocol 120');
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  // What has our protocol and is not a vif's was left by one that went while the daemon was away.
  expect(await proxies()).toEqual(['192.0.2.99 dev eth0']);
  const leaving = await guest(domnet, 'route', 5, both);
  const staying = await guest(domnet, 'route', 6, { ip: '192.0.2.6 2001:db8::6' });
  const beside = await Neighbours.of(daemon, domnet, 'route');
  const theirs = [await entries('vif6.0'), await entries('vif201.0')];
  const before = daemon.log.length;
  await leaving.unplug();
  await daemon.logged('vif removed', 'vif5.0');
  expect(await proxies()).toEqual([
    '192.0.2.201 dev eth0',
    '192.0.2.202 dev eth0',
    '192.0.2.6 dev eth0',
    '192.0.2.99 dev eth0',
    '2001:db8::6 dev eth0',
  ]);
  expect([await entries('vif6.0'), await entries('vif201.0')]).toEqual(theirs);
  // One more look at everything finds nothing to do, and whatever is done was done for the vif that went.
  await guest(domnet, 'route', 7);
  const changes = daemon.log.slice(before).filter(({ msg }) => msg === 'host change');
  expect([...new Set(changes.map(({ vif }) => vif))].sort()).toEqual(['vif5.0', 'vif7.0']);
  await connected(staying, ...beside.vifs);
  await outside.ip('neighbour flush all');
  await reaches(staying, '192.0.2.254');
  await outside.exec('ping', ['-c', '1', '-W', '2', '192.0.2.6']);
  await beside.untouched();
});

test('of a vif whose addresses change the others keep theirs', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest(domnet, 'route', 5, both);
  const beside = await Neighbours.of(daemon, domnet, 'route');
  await vif.write({ ip: '192.0.2.6 2001:db8::6' });
  const after = ['192.0.2.201', '192.0.2.202', '192.0.2.6', '2001:db8::6'].map((host) => `${host} dev eth0`);
  await until('its new entries, and no old ones', async () => (await proxies()).join() === after.join());
  expect((await entries('vif5.0')).map((line) => line.split(' ')[0])).toEqual(['192.0.2.6', '2001:db8::6']);
  await connected(vif, ...beside.vifs);
  await beside.untouched();
});

test('of a vif whose route is lost for a moment nothing of the others is touched, and its own entries stay', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest(domnet, 'route', 5, both);
  const beside = await Neighbours.of(daemon, domnet, 'route');
  const before = [await proxies(), await entries('vif5.0')];
  for (const route of ['-4 route delete 192.0.2.5', '-6 route delete 2001:db8::5']) {
    await domnet.ip(route);
    await until(
      'the route',
      async () => (await domnet.ip(`${route.slice(0, 2)} route show proto 120 dev vif5.0`)) !== '',
    );
    expect([await proxies(), await entries('vif5.0')]).toEqual(before);
  }
  await connected(vif, ...beside.vifs);
  await beside.untouched();
});

test('a new gateway device has the entries of all, and the old one none', async () => {
  await domnet.vifd();
  const vifs = [await guest(domnet, 'route', 5), await guest(domnet, 'route', 6)];
  await domnet.ip('link add lan1 type veth peer name lan1-peer');
  await domnet.ip('address add 192.0.2.1/24 dev lan1');
  for (const name of ['lan1-peer', 'lan1']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('route replace default via 192.0.2.250 dev lan1 onlink');
  await until(
    'the entries to move',
    async () => (await proxies()).join() === '192.0.2.5 dev lan1,192.0.2.6 dev lan1',
  );
  await connected(...vifs);
});
