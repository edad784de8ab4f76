import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addNetdevs } from '../../support/net/crowd.js';
import { Domnet, Vif } from '../../support/net/domnet.js';
import {
  bridges,
  connectUplink,
  type Kind,
  keysOf,
  outer,
  prepareTopologies,
} from '../../support/net/guests.js';
import { openTables } from '../../support/net/open-tables.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { Rest } from '../../support/net/rest.js';
import { until } from '../../support/process/exec.js';

// A daemon at rest is at rest: 50 vifs on all topologies, and after each disturbance not a look, and
// nothing that the kernel has to announce.

const kinds: readonly Kind[] = ['bridge', 'openvswitch', 'route', 'nat'];
const vifsInAll = 50;

let domnet: Domnet;
let ovs: OpenVswitch;
let rest: Rest;
let vifs: Vif[];

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  // So that others can change them where they would be vifd's alone.
  await openTables(domnet, 'netdev vifd', 'inet vifd');
  const socket = join(domnet.dir, 'metrics.sock');
  await domnet.vifd({ config: `${ovs.config}[metrics]\nlisten = "unix:${socket}"\n` });
  vifs = await fill();
  rest = await Rest.start(domnet, socket);
}, 180_000);
afterAll(async () => {
  await ovs?.stop();
  await domnet?.stop();
});

const kindOf = ({ domid }: Vif): Kind => kinds[domid % kinds.length] as Kind;

/** What dom0 writes for one of them: those of a bridge are held to an address, as those that are routed always are. */
const keys = (vif: Vif): NonNullable<Parameters<Domnet['writeDevice']>[0]['keys']> => ({
  ...keysOf(kindOf(vif), vif.domid),
  ...(kindOf(vif) === 'bridge' ? { ip: `10.7.0.${vif.domid}` } : {}),
});

async function fill(): Promise<Vif[]> {
  const all = Array.from({ length: vifsInAll }, (_, i) => new Vif(domnet, 1 + i, 0));
  await Promise.all(all.map((vif) => domnet.writeDevice({ domid: vif.domid, keys: keys(vif) })));
  await addNetdevs(all, { carrier: true });
  await Promise.all(all.map((vif) => vif.setState(2)));
  await allConnected(all);
  return all;
}

async function allConnected(expected: readonly Vif[] = vifs): Promise<void> {
  for (const vif of expected) {
    await until(
      `${vif.name} to be connected`,
      async () => (await vif.read('hotplug-status')) === 'connected',
      30_000,
    );
  }
}

const nft = (command: string): Promise<unknown> => domnet.exec('nft', [command]);
const [bridged, switched, routed, natted] = ['vif4.0', 'vif1.0', 'vif2.0', 'vif3.0'] as const;
const named = (name: string): Vif => vifs.find((vif) => vif.name === name) as Vif;

/** Everything that has had a daemon running in circles, or taken vifs from the network, and what makes it good again. */
const disturbances = {
  'a routed vif goes': async () => {
    const leaving = vifs.findLast((vif) => kindOf(vif) === 'route') as Vif;
    await leaving.unplug();
    vifs = vifs.filter((vif) => vif !== leaving);
  },
  'a chain with a rule in inet vifd': () =>
    nft('add chain inet vifd mine { type filter hook input priority 0; }; add rule inet vifd mine accept'),
  'a chain with a rule in netdev vifd': () =>
    nft('add chain netdev vifd mine; add rule netdev vifd mine accept'),
  'a rule before masquerading': () => nft('insert rule inet vifd leaving accept'),
  'a table that is dormant': () => nft('add table netdev vifd { flags dormant; }'),
  'the whole ruleset flushed': () => nft('flush ruleset'),
  'a route to a guest replaced': () => domnet.ip('route replace 192.0.2.2/32 dev eth0 metric 2'),
  'a route to a guest of a lower metric': () => domnet.ip('route add 192.0.2.2/32 dev eth0'),
  'that route gone': () => domnet.ip('route delete 192.0.2.2/32 dev eth0'),
  'low MTUs': () => Promise.all([routed, natted].map((name) => named(name).write({ mtu: '1200' }))),
  'a wrong key': async () => {
    await named(bridged).write({ ip: 'nonsense' });
    await named(bridged).status('error');
  },
  'that key right': () => named(bridged).write({ ip: '10.7.0.4' }),
  'no default route': () => domnet.ip('route delete default'),
  'a default route again': () => domnet.ip(`route add default via ${outer}`),
  'the uplink without its address': () => domnet.ip('address delete 192.0.2.1/24 dev eth0'),
  'the uplink with it': async () => {
    await domnet.ip('address add 192.0.2.1/24 dev eth0');
    await domnet.ip(`route add default via ${outer}`);
  },
  'the uplink deleted': () => domnet.ip('link delete eth0'),
  'the uplink made anew': () => connectUplink(domnet),
  'a netdev renamed by hand': () => domnet.ip(`link set ${bridged} name nonsense`),
  'its name back': () => domnet.ip(`link set nonsense name ${bridged}`).catch(() => undefined),
  'netdevs down': async () => {
    for (const name of [bridged, switched, routed, natted]) await domnet.ip(`link set ${name} down`);
  },
  'addresses flushed': () => domnet.ip(`address flush dev ${routed}`),
  'an address of a NAT guest on another interface': () => domnet.ip('address add 10.0.3.1/32 dev eth0'),
  'that address gone': () => domnet.ip('address delete 10.0.3.1/32 dev eth0'),
  'the bridge deleted': async () => {
    await domnet.ip(`link delete ${bridges.bridge}`);
    await named(bridged).status('error');
  },
  'the bridge made anew': () => domnet.addBridge(bridges.bridge),
  'ovs-vswitchd killed': () => ovs.killSwitch(),
  'ovs-vswitchd again': () => ovs.startSwitch(),
  'ovsdb-server restarted': async () => {
    await ovs.stopServer();
    await ovs.startServer();
  },
} satisfies Record<string, () => Promise<unknown>>;

test('before anything happens', async () => {
  expect(await rest.during(3000)).toEqual({ reconciliations: 0, news: [] });
});

/** What does not touch the same things comes at once. */
const rounds: readonly (readonly (keyof typeof disturbances)[])[] = [
  ['a chain with a rule in inet vifd', 'a route to a guest replaced', 'low MTUs', 'a routed vif goes'],
  [
    'a chain with a rule in netdev vifd',
    'a route to a guest of a lower metric',
    'a wrong key',
    'ovs-vswitchd killed',
  ],
  ['a rule before masquerading', 'that route gone', 'that key right', 'ovs-vswitchd again'],
  ['a table that is dormant', 'no default route', 'a netdev renamed by hand', 'ovsdb-server restarted'],
  ['the whole ruleset flushed', 'a default route again', 'its name back', 'addresses flushed'],
  ['an address of a NAT guest on another interface', 'the uplink without its address', 'netdevs down'],
  ['that address gone', 'the uplink with it', 'the bridge deleted'],
  ['the uplink deleted', 'the bridge made anew'],
  ['the uplink made anew'],
];

test('each is in one round', () => {
  expect(rounds.flat().sort()).toEqual(Object.keys(disturbances).sort());
});

test.each(rounds.map((names) => [names.join(', '), names] as const))(
  'after: %s',
  async (_, names) => {
    for (const name of names) await disturbances[name]();
    expect(await rest.during(3000)).toEqual({ reconciliations: 0, news: [] });
  },
  90_000,
);

test('after all of them, nothing but the minute’s round in a minute, and every vif is connected', async () => {
  for (const disturb of Object.values(disturbances)) await disturb();
  await allConnected();
  expect(await rest.during(60_000)).toEqual({ reconciliations: 0, news: [] });
  await allConnected();
}, 180_000);
