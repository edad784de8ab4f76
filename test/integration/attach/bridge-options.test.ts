import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.ip('address add 10.7.0.1/24 dev xenbr0');
});

afterEach(() => domnet.stop());

interface Port {
  ifname: string;
  isolated: boolean;
  mcast_flood: boolean;
  bcast_flood: boolean;
  [flag: string]: unknown;
}

const port = async (name: string): Promise<Port> => {
  const ports = JSON.parse(await domnet.exec('bridge', ['-d', '-j', 'link', 'show'])) as Port[];
  return ports.find(({ ifname }) => ifname === name) as Port;
};

/** A guest on the bridge with an address of its own. */
const guest = async (domid: number, keys: Record<string, string> = {}): Promise<Vif> => {
  const vif = await domnet.plug({ domid, keys });
  await vif.guestIp(`address add 10.7.0.${domid}/24 dev eth0`);
  await vif.connected();
  return vif;
};

/** Whether two echo requests of five are answered, which forgives what an address still to be resolved loses. */
const pings = (vif: Vif, address: string): Promise<boolean> =>
  vif.guestExec('ping', ['-q', '-c', '5', '-i', '0.05', '-W', '1', '-w', '2', address]).then(
    () => true,
    () => false,
  );

test('isolated guests reach the bridge and those not isolated, and not each other', async () => {
  await domnet.vifd({
    config:
      '[[vif]]\nbridge = "xenbr0"\nisolated = true\n\n[[vif]]\nmac = "00:16:3E:00:07:00"\nisolated = false\n',
  });
  const [one, two, open] = [await guest(5), await guest(6), await guest(7)];
  expect(await pings(one, '10.7.0.1')).toBe(true);
  expect(await pings(two, '10.7.0.1')).toBe(true);
  expect(await pings(open, '10.7.0.5')).toBe(true);
  expect(await pings(one, '10.7.0.6')).toBe(false);
  expect(await pings(two, '10.7.0.5')).toBe(false);
});

test('options hold against drift, and only for the vifs they match', async () => {
  await domnet.addBridge('xenbr1');
  const daemon = await domnet.vifd({
    config:
      '[[vif]]\nbridge = "xenbr0"\nisolated = true\nmulticast_flood = false\nbroadcast_flood = false\ntxqueuelen = 77\n',
  });
  await guest(5);
  await guest(6, { bridge: 'xenbr1' });
  const beside = await Neighbours.of(daemon, domnet, 'bridge', { keys: { bridge: 'xenbr1' } });
  expect(await port('vif5.0')).toMatchObject({ isolated: true, mcast_flood: false, bcast_flood: false });
  expect(await domnet.link('vif5.0')).toMatchObject({ txqlen: 77 });
  expect(await port('vif6.0')).toMatchObject({ isolated: false, mcast_flood: true, bcast_flood: true });

  await domnet.exec('bridge', ['link', 'set', 'dev', 'vif5.0', 'isolated', 'off']);
  await until('the repair', async () => (await port('vif5.0')).isolated);
  await domnet.ip('link set vif5.0 txqueuelen 500');
  await until(
    'the repair',
    async () => ((await domnet.link('vif5.0')) as { txqlen?: number })?.txqlen === 77,
  );
  await domnet.ip('link set vif5.0 type bridge_slave bcast_flood on');
  await until('the repair', async () => !(await port('vif5.0')).bcast_flood);
  await domnet.ip('link set vif5.0 nomaster');
  await until('the repair', async () => (await port('vif5.0'))?.isolated);
  expect((await daemon.logged('vif repaired', 'vif5.0')).actions).toEqual([
    'bridge link set dev vif5.0 isolated on',
  ]);
  await beside.untouched();
});

test('switches of [bridge] and [[vif]] hold, and what is not to come does not', async () => {
  const switches =
    'root_block = true\nbpdu_guard = true\nfast_leave = true\nmulticast_to_unicast = true\nneighbor_suppress = true\n';
  const config = `[bridge]\nunicast_flood = false\nlearning = false\n${switches}\n[[vif]]\nmac = "00:16:3e:00:07:00"\nunicast_flood = true\nhairpin = true\n`;
  const first = await domnet.vifd({ config });
  const [sender, spared, open] = [await guest(5), await guest(6), await guest(7)];
  expect(await port('vif6.0')).toMatchObject({
    ...{ flood: false, learning: false, root_block: true, guard: true, fastleave: true },
    ...{ mcast_to_unicast: true, neigh_suppress: true, hairpin: false, mcast_flood: true },
  });
  expect(await port('vif7.0')).toMatchObject({ flood: true, learning: false, hairpin: true });
  // Frames to an address that the bridge has not learned.
  await sender.guestIp('neighbour add 10.7.0.99 lladdr 00:16:3e:00:63:00 dev eth0');
  const heard = async (vif: Vif): Promise<number> =>
    Number(await vif.guestExec('cat', ['/sys/class/net/eth0/statistics/rx_packets']));
  const before = { spared: await heard(spared), open: await heard(open) };
  const unanswered = ['-q', '-c', '20', '-i', '0.01', '-W', '0.1', '10.7.0.99'];
  await sender.guestExec('ping', unanswered).catch(() => undefined);
  expect((await heard(open)) - before.open).toBeGreaterThanOrEqual(20);
  expect((await heard(spared)) - before.spared).toBeLessThan(20);

  await domnet.exec('bridge', ['link', 'set', 'dev', 'vif6.0', 'flood', 'on', 'guard', 'off']);
  await until('the repair', async () => {
    const { flood, guard } = await port('vif6.0');
    return flood === false && guard === true;
  });
  await first.terminate();
  const second = await domnet.vifd({ config });
  for (const { name } of [sender, spared, open]) await second.logged('vif adopted', name);
  expect(second.log.filter(({ msg }) => msg === 'vif updated' || msg === 'vif repaired')).toEqual([]);
});

test("rules of an administrator's own match a guest by its group, from its first frame on, and after a restart", async () => {
  const config = '[[vif]]\nmac = "00:16:3e:00:05:00"\ngroup = 7\n';
  const rules =
    'table bridge roles {\n chain forward {\n type filter hook forward priority 0; policy accept;\n iifgroup 7 counter drop\n }\n}\n';
  writeFileSync(join(domnet.dir, 'roles.nft'), rules);
  await domnet.exec('nft', ['-f', join(domnet.dir, 'roles.nft')]);
  const first = await domnet.vifd({ config });
  const [bound, other, beside] = [await guest(5), await guest(6), await guest(7)];
  const group = async () => ((await domnet.link('vif5.0')) as { group?: string })?.group;
  expect(await group()).toBe('7');
  expect(await pings(other, '10.7.0.7')).toBe(true);
  expect(await pings(bound, '10.7.0.7')).toBe(false);
  expect((await domnet.command('status', 'vif5.0')).stdout).toMatch(/^group: +7$/m);
  await domnet.ip('link set vif5.0 group 0');
  await until('the repair', async () => (await group()) === '7');
  await first.terminate();
  const second = await domnet.vifd({ config });
  for (const { name } of [bound, other, beside]) await second.logged('vif adopted', name);
  expect(await pings(bound, '10.7.0.6')).toBe(false);
});

test("vifs are in an administrator's sets while these are there, and nothing else in them is touched", async () => {
  const rules = `flush ruleset
table bridge roles {
 set web { type ifname
  elements = { "eth9" } }
 set hosts { type ipv4_addr
 }
 chain forward { type filter hook forward priority 0; policy accept;
  iifname @web counter drop
 }
}
`;
  const file = join(domnet.dir, 'roles.nft');
  writeFileSync(file, rules);
  const load = () => domnet.exec('nft', ['-f', file]);
  const inSets = async () => {
    const listed = await domnet.exec('nft', ['list', 'ruleset']).catch(() => '');
    return [...listed.matchAll(/set (web|hosts) {[^}]*?elements = {([^}]*)}/g)]
      .flatMap(([, set, elements = '']) => elements.split(',').map((one) => `${set} ${one.trim()}`))
      .sort();
  };
  const are = (expected: string[]) =>
    until(expected.join(), async () => (await inSets()).join() === expected.join());
  const of = (last: number) =>
    `[[vif]]\nmac = "00:16:3e:00:0${last}:00"\nsets = ["bridge roles web", "bridge roles hosts"]\n`;
  const first = await domnet.vifd({ config: of(5) });
  const [bound, other, beside] = [await guest(5, { ip: '10.7.0.5' }), await guest(6), await guest(7)];
  // The guest has its network before there is a set, and the administrator is told.
  expect(await pings(bound, '10.7.0.7')).toBe(true);
  const lacks = await first.logged('vif degraded', 'vif5.0');
  expect(lacks.missing).toContainEqual(
    expect.stringMatching(/^put vif5\.0 into set bridge roles web: no such set; make it/),
  );
  await load();
  const put = ['hosts 10.7.0.5 comment "vifd vif5.0"', 'web "eth9"', 'web "vif5.0" comment "vifd vif5.0"'];
  await are(put);
  await first.logged('vif no longer degraded', 'vif5.0');
  expect(await pings(bound, '10.7.0.7')).toBe(false);
  expect(await pings(other, '10.7.0.7')).toBe(true);
  expect((await domnet.command('status', 'vif5.0')).stdout).toMatch(
    /^in sets: +bridge roles web, bridge roles hosts$/m,
  );
  // nftables.service is started anew, and a set is flushed.
  await load();
  await are(put);
  await domnet.exec('nft', ['flush set bridge roles hosts; delete element bridge roles web { "vif5.0" }']);
  await are(put);
  await first.kill();
  const second = await domnet.vifd({ config: of(5) });
  for (const { name } of [bound, other, beside]) await second.logged('vif adopted', name);
  expect(await inSets()).toEqual(put);
  expect((await domnet.command('plan', 'vif5.0', '--config', join(domnet.dir, 'vifd.toml'))).stdout).toBe(
    '# vif5.0 is attached as it should be\n',
  );
  // What the configuration named before is left by the daemon that is started with another one; a set may be gone by then.
  await second.kill();
  await domnet.exec('nft', ['delete set bridge roles hosts']);
  const third = await domnet.vifd({ config: of(6).replace(', "bridge roles hosts"', '') });
  await are(['web "eth9"', 'web "vif6.0" comment "vifd vif6.0"']);
  expect(await pings(bound, '10.7.0.7')).toBe(true);
  expect(await pings(other, '10.7.0.7')).toBe(false);
  await other.unplug();
  await are(['web "eth9"']);
  writeFileSync(join(domnet.dir, 'vifd.toml'), of(7));
  third.hangUp();
  await are(['web "eth9"', 'web "vif7.0" comment "vifd vif7.0"']);
  await third.logged('vif degraded', 'vif7.0');
  expect(await pings(bound, '10.7.0.1')).toBe(true);
});

test('vifs that are in a set by one element are in it until the last of them goes', async () => {
  await domnet.addBridge('xenbr1');
  // No chain is in this table, or all vifs would be looked at for what filters now.
  await domnet.exec('nft', ['add table bridge roles; add set bridge roles hosts { type ipv4_addr; }']);
  await domnet.vifd({ config: '[[vif]]\nsets = ["bridge roles hosts"]\n' });
  const owners = (expected: string) =>
    until(
      expected,
      async () => {
        const listed = await domnet.exec('nft', ['list set bridge roles hosts']);
        return (
          [...listed.matchAll(/(\S+) comment "vifd (\S+)"/g)]
            .map(([, a, b]) => `${a} ${b}`)
            .sort()
            .join() === expected
        );
      },
      5000,
    );
  // One address in two networks.
  const [first, second] = [
    await guest(5, { ip: '10.7.0.5' }),
    await guest(6, { ip: '10.7.0.5', bridge: 'xenbr1' }),
  ];
  await owners('10.7.0.5 vif5.0');
  await first.write({ ip: '10.7.0.15' });
  await owners('10.7.0.15 vif5.0,10.7.0.5 vif6.0');
  await second.unplug();
  await owners('10.7.0.15 vif5.0');
});

test('a restart with options finds nothing to do', async () => {
  const config = '[[vif]]\nisolated = true\nmulticast_flood = false\ntxqueuelen = 77\n';
  const first = await domnet.vifd({ config });
  await guest(5);
  await first.logged('vif attached', 'vif5.0');
  await first.terminate();
  const second = await domnet.vifd({ config });
  await second.logged('vif adopted', 'vif5.0');
});

test('offloads are set, and one the kernel refuses is said by name', async () => {
  await domnet.vifd({
    config:
      '[[vif]]\noffload = { tso = false, gro = true }\n\n[[vif]]\nmac = "00:16:3e:00:06:00"\noffload = { nonsense = true }\n',
  });
  await guest(5);
  const features = await domnet.exec('ethtool', ['-k', 'vif5.0']);
  expect(features).toMatch(/^tcp-segmentation-offload: off/m);
  expect(features).toMatch(/^generic-receive-offload: on/m);
  const vif = await domnet.plug({ domid: 6 });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toMatch(/^run ethtool -K vif6.0 tso off gro on nonsense on: /);
});

test('with mtu = "uplink" vifs follow the uplink, and the guest is told', async () => {
  await domnet.ip('link add eth1 mtu 1450 master xenbr0 up type veth peer name peer1');
  await domnet.vifd({ config: '[bridge]\nmtu = "uplink"\n' });
  const vif = await guest(5);
  const frontendMtu = () => domnet.xenstore.read(`${vif.frontend}/mtu`);
  expect((await domnet.link('vif5.0'))?.mtu).toBe(1450);
  expect(await frontendMtu()).toBe('1450');
  await domnet.ip('link set eth1 mtu 9000');
  await until('the larger MTU', async () => (await domnet.link('vif5.0'))?.mtu === 9000);
  await until('the guest to be told', async () => (await frontendMtu()) === '9000');
  // The bridge itself is free to follow, no port holds it down.
  await until('the bridge', async () => (await domnet.link('xenbr0'))?.mtu === 9000);
  await domnet.ip('link delete eth1');
  await domnet.ip('link add eth2 mtu 1300 up type veth peer name peer2');
  await domnet.ip('link set eth2 master xenbr0');
  await until('the new uplink', async () => (await domnet.link('vif5.0'))?.mtu === 1300);
});

test('a vif with vlan on a bridge that does not filter stays off the network, with the remedy', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  const vif = await domnet.plug({ domid: 5, keys: { vlan: '10p/20' } });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toBe(
    'attach vif5.0 to bridge xenbr0: it does not filter VLANs, and the vif has the vlan key; run: ip link set dev xenbr0 type bridge vlan_filtering 1',
  );
  const link = await domnet.link('vif5.0');
  expect(link?.master).toBeUndefined();
  expect(link?.flags).not.toContain('UP');
  // Live the same: a vif that is up untagged goes down when dom0 gives it a VLAN it cannot have.
  await domnet.xenstore.rm(`${vif.backend}/vlan`);
  await vif.connected();
  await vif.write({ vlan: '10' });
  await vif.status('error');
  expect((await domnet.link('vif5.0'))?.flags).not.toContain('UP');
  await beside.untouched();
});

test('what follows the uplink or a new configuration is an update, not a repair', async () => {
  await domnet.ip('link add up0 type veth peer name up1');
  await domnet.ip('link set up0 mtu 1400 master xenbr0 up');
  const daemon = await domnet.vifd({ config: '[bridge]\nmtu = "uplink"\n' });
  await guest(5);
  await domnet.ip('link set up0 mtu 1300');
  const followed = await daemon.logged('vif updated', 'vif5.0');
  expect(followed).toMatchObject({ level: 'info', actions: ['ip link set dev vif5.0 mtu 1300'] });

  writeFileSync(join(domnet.dir, 'vifd.toml'), '[[vif]]\nisolated = true\n');
  daemon.hangUp();
  const actions = ['bridge link set dev vif5.0 isolated on'];
  await until('the update', () =>
    daemon.log.some(
      (line) => line.msg === 'vif updated' && JSON.stringify(line.actions) === JSON.stringify(actions),
    ),
  );
  expect(daemon.log.filter(({ msg }) => msg === 'vif repaired')).toEqual([]);
});

test('a guest with a smaller mtu takes neither the bridge down nor others, while it comes and goes', async () => {
  await domnet.ip('link add eth1 mtu 9000 up type veth peer name peer1');
  await domnet.ip('link set eth1 master xenbr0');
  await until('the bridge to follow', async () => (await domnet.link('xenbr0'))?.mtu === 9000);
  const daemon = await domnet.vifd();
  const big = await guest(7);
  await big.guestIp('link set eth0 mtu 9000');
  const beside = await Neighbours.of(daemon, domnet, 'bridge');
  // As long as it may be, and not to be fragmented.
  const jumbo = () =>
    big.guestExec('ping', ['-q', '-c', '2', '-i', '0.05', '-M', 'do', '-s', '8900', '10.7.0.1']);
  await jumbo();
  const small = await guest(5, { mtu: '1500' });
  const smaller = await guest(6, { mtu: '1400' });
  expect(await pings(small, '10.7.0.7')).toBe(true);
  expect(await pings(smaller, '10.7.0.7')).toBe(true);
  await jumbo();
  expect(await domnet.xenstore.read(`${small.frontend}/mtu`)).toBe('1500');
  expect(await domnet.xenstore.read(`${smaller.frontend}/mtu`)).toBe('1400');
  const late = await guest(8);
  expect((await domnet.link(late.name))?.mtu).toBe(9000);
  await small.write({ mtu: '1300' });
  await until('the smaller MTU', async () => (await domnet.link('vif5.0'))?.mtu === 1300);
  for (const vif of [small, smaller]) await vif.unplug();
  await jumbo();
  for (const name of ['xenbr0', 'eth1', 'vif7.0', 'vif8.0'])
    expect((await domnet.link(name))?.mtu, name).toBe(9000);
  await beside.untouched();
});
