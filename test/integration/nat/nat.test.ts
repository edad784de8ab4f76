import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { openTables } from '../../support/net/open-tables.js';
import { Outside } from '../../support/net/outside.js';
import { until } from '../../support/process/exec.js';
import { missing } from '../../support/process/status.js';

let domnet: Domnet;
/** The internet, which knows the driver domain's address and none of the guests'. */
let internet: Outside;

beforeEach(async () => {
  domnet = await Domnet.start();
  internet = await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['203.0.113.1/24', '2001:db8:1::1/64'],
    peer: ['203.0.113.9/24', '2001:db8:1::9/64', '198.51.100.80/32', '2001:db8:80::80/128'],
  });
  await domnet.ip('route add default via 203.0.113.9');
  await domnet.ip('-6 route add default via 2001:db8:1::9');
  await countSources(internet, ['203.0.113.1', '2001:db8:1::1']);
});
afterEach(() => domnet.stop());

/** Counts pings there by their source, and refuses all sources but these. */
async function countSources(there: Outside, expected: string[]): Promise<void> {
  const rules = expected.map((address) => {
    const [ip, icmp] = address.includes(':') ? ['ip6', 'icmpv6'] : ['ip', 'icmp'];
    return `add rule inet seen in ${ip} saddr ${address} ${icmp} type echo-request counter accept`;
  });
  await there.exec('nft', [
    [
      'add table inet seen',
      'add chain inet seen in { type filter hook input priority 0; }',
      ...rules,
      'add rule inet seen in icmp type echo-request counter drop',
      'add rule inet seen in icmpv6 type echo-request counter drop',
    ].join('\n'),
  ]);
}

const plug = (domid: number, keys: Record<string, string | undefined> = {}): Promise<Vif> =>
  domnet.plug({ domid, keys: { script: '/etc/xen/scripts/vif-nat', bridge: undefined, ...keys } });

async function configure(vif: Vif, address: string, router: string): Promise<void> {
  await vif.guestIp(`address add ${address} dev eth0`);
  await vif.guestIp(`route add default via ${router}`);
}

/** One packet; it may wait for a neighbour's answer, which is asked for every second. */
const ping = (vif: Vif, to: string, seconds = 5): Promise<string> =>
  vif.guestExec('ping', ['-c', '1', '-W', `${seconds}`, to]);
const answers = (vif: Vif, to: string): Promise<unknown> =>
  until(`an answer from ${to}`, () =>
    ping(vif, to, 1).then(
      () => true,
      () => undefined,
    ),
  );

/** The elements of the sets of masqueraded addresses, as `address . "uplink"`. */
const masqueraded = async (): Promise<string[]> => {
  const ruleset = await domnet.exec('nft', ['list', 'ruleset']);
  return [...ruleset.matchAll(/[0-9a-f.:]+ \. "[^"]+"(?= comment)/g)].map(([element]) => element).sort();
};

test('a guest of the stock address plan reaches the internet under the address of the driver domain', async () => {
  const daemon = await domnet.vifd();
  const vif = await plug(5);
  await vif.connected();
  await configure(vif, '10.0.5.1/16', '10.0.5.128');
  await ping(vif, '198.51.100.80');
  expect(await masqueraded()).toEqual(['10.0.5.1 . "eth0"']);
  expect(await domnet.ip('route show proto 120')).toContain(
    '10.0.5.1 dev vif5.0 scope link src 10.0.5.128 metric 2',
  );

  // A link that is down for a moment takes no connections.
  const tracked = (): Promise<string> => domnet.exec('conntrack', ['-L', '-p', 'icmp', '-s', '10.0.5.1']);
  const connection = /src=10\.0\.5\.1 .*id=(\d+)/.exec(await tracked())?.[1] ?? 'none';
  await domnet.ip('link set vif5.0 down');
  await daemon.logged('vif repaired', vif.name);
  expect(await tracked()).toContain(`id=${connection}`);
});

test('from outside a guest is reached by what it began and by forwarded ports, also where its network is routed to the domain', async () => {
  await domnet.vifd();
  const [vif, other] = [await plug(5, { ip: '10.0.5.1 fd00:5::1/64' }), await plug(6)];
  for (const each of [vif, other]) await each.connected();
  await configure(vif, '10.0.5.1/16', '10.0.5.128');
  await configure(other, '10.0.6.1/16', '10.0.6.128');
  await vif.guestIp('address add fd00:5::1/64 dev eth0 nodad');
  await vif.guestIp('route add default via fe80::1 dev eth0');
  await internet.exec('ip', ['route', 'add', '10.0.0.0/8', 'via', '203.0.113.1']);
  await internet.exec('ip', ['route', 'add', 'fd00::/8', 'via', '2001:db8:1::1']);
  const reaches = (to: string): Promise<unknown> => internet.exec('ping', ['-c', '1', '-W', '1', to]);
  for (const to of ['10.0.5.1', 'fd00:5::1', '10.0.6.1'])
    await expect(reaches(to)).rejects.toThrow('ping -c 1');
  await ping(vif, '198.51.100.80');
  await ping(vif, '2001:db8:80::80');
  await ping(other, '10.0.5.1');
  await domnet.exec('nft', [
    'table ip ports { chain in { type nat hook prerouting priority dstnat; ip daddr 203.0.113.1 icmp type echo-request counter dnat to 10.0.5.1; }; }',
  ]);
  await reaches('203.0.113.1');
  expect(await domnet.exec('nft', ['list', 'table', 'ip', 'ports'])).toContain('packets 1 ');
  await expect(reaches('10.0.6.1')).rejects.toThrow('ping -c 1');
});

test('two octets of the plan are the domain, the last is the device', async () => {
  await domnet.vifd();
  const vif = await domnet.plug({ domid: 300, devid: 2, keys: { script: 'vif-nat', bridge: undefined } });
  await vif.connected();
  expect(await domnet.ip('route show proto 120')).toContain(
    '10.1.44.3 dev vif300.2 scope link src 10.1.44.130',
  );
});

test('guests reach each other as they are', async () => {
  await domnet.vifd();
  const [one, two] = await Promise.all([plug(5), plug(6)]);
  await Promise.all([one.connected(), two.connected()]);
  await configure(one, '10.0.5.1/16', '10.0.5.128');
  await configure(two, '10.0.6.1/16', '10.0.6.128');
  // They share a /16 and ask for each other by ARP: the driver domain answers in the other's place.
  await ping(one, '10.0.6.1');
  await ping(two, '10.0.5.1');
});

test('a guest with IPv6 has that masqueraded too', async () => {
  const daemon = await domnet.vifd();
  const beside = await plug(6);
  await beside.connected();
  const vif = await plug(5, { ip: '10.7.0.9/24 fd00::9' });
  await vif.connected();
  // IPv6 is forwarded from now on, so that the other is held to its ways out: no other program's doing.
  await daemon.logged('vif updated', beside.name);
  await vif.guestIp('address add fd00::9/128 dev eth0 nodad');
  await vif.guestIp('route add default via fe80::1 dev eth0');
  await answers(vif, '2001:db8:80::80');
  await configure(vif, '10.7.0.9/24', '10.7.0.136');
  await answers(vif, '198.51.100.80');
  expect(await masqueraded()).toEqual(['10.0.6.1 . "eth0"', '10.7.0.9 . "eth0"', 'fd00::9 . "eth0"']);
  expect(daemon.log.filter(({ msg }) => msg === 'vif repaired')).toEqual([]);
});

test('[nat] network chooses another plan', async () => {
  await domnet.vifd({ config: '[nat]\nnetwork = "172.20.0.0/16"\n' });
  const vif = await plug(5);
  await vif.connected();
  await configure(vif, '172.20.5.1/16', '172.20.5.128');
  await ping(vif, '198.51.100.80');
});

test('the default route is followed to another uplink, and its loss outlasted', async () => {
  const vifd = await domnet.vifd();
  const vif = await plug(5);
  await vif.connected();
  await configure(vif, '10.0.5.1/16', '10.0.5.128');
  const other = await Outside.connect(domnet, {
    device: 'wan1',
    addresses: ['192.0.2.1/24'],
    peer: ['192.0.2.9/24', '198.51.100.81/32'],
    number: 60_001,
  });
  await countSources(other, ['192.0.2.1']);
  await domnet.ip('route delete default');
  await until('the end of masquerading', async () => (await masqueraded()).length === 0);
  await domnet.ip('route add default via 192.0.2.9');
  await until('the new uplink', async () => (await masqueraded()).includes('10.0.5.1 . "wan1"'));
  await answers(vif, '198.51.100.81');
  expect(await vif.read('hotplug-status')).toBe('connected');
  expect(vifd.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
});

test('[nat] uplink holds, wherever the default route leads', async () => {
  await domnet.vifd({ config: '[nat]\nuplink = "wan1"\n' });
  const vif = await plug(5);
  await vif.connected();
  expect(await masqueraded()).toEqual([]);
  await domnet.ip('link add wan1 type veth peer name wan1p');
  await until('the uplink', async () => (await masqueraded()).includes('10.0.5.1 . "wan1"'));
});

test('of two vifs with one address the second is refused, until the first goes', async () => {
  await domnet.vifd();
  const first = await plug(5, { ip: '10.7.0.9/24' });
  await first.connected();
  await configure(first, '10.7.0.9/24', '10.7.0.136');
  const second = await plug(6, { ip: '10.7.0.9/24' });
  await second.status('error');
  expect(await second.read('hotplug-error')).toBe('give vif6.0 the address 10.7.0.9: vif5.0 has it');
  expect((await domnet.link('vif6.0'))?.flags).not.toContain('UP');
  await ping(first, '198.51.100.80');

  // Neither a restart nor a flap of its link costs the first one its address.
  await domnet.ip('link set vif5.0 down');
  await until('the first to be up again', async () => (await domnet.link('vif5.0'))?.flags.includes('UP'));
  await answers(first, '198.51.100.80');

  await first.unplug();
  await second.connected();
  await configure(second, '10.7.0.9/24', '10.7.0.136');
  await answers(second, '198.51.100.80');
});

test('a routed guest does not get the address of one behind NAT, as it comes or by its keys, until that goes', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'nat');
  const [first] = beside.vifs as [Vif];
  const routed = (domid: number, ip: string): Promise<Vif> =>
    plug(domid, { script: '/etc/xen/scripts/vif-route', ip });
  const late = await routed(6, '10.0.201.1');
  await late.status('error');
  expect(await late.read('hotplug-error')).toBe(`give vif6.0 the address 10.0.201.1: ${first.name} has it`);
  const changed = await routed(7, '192.0.2.7');
  await changed.connected();
  await changed.write({ ip: '192.0.2.7 10.0.202.1' });
  await missing([changed], [/^give vif7\.0 the address 10\.0\.202\.1: vif202\.0 has it$/]);
  expect(await domnet.ip('route show dev vif7.0')).toMatch(/^192\.0\.2\.7 .*\n$/);
  await beside.untouched();
  // A link that is down for a moment has not gone.
  await domnet.ip(`link set ${first.name} down`);
  await daemon.logged('vif repaired', first.name);
  expect(await late.read('hotplug-status')).toBe('error');
  await first.unplug();
  await late.connected();
  expect(await domnet.ip('route show 10.0.201.1')).toContain('dev vif6.0');
});

test.each([
  [
    '10.7.0.0/24',
    'choose the address of vif6.0 10.7.0.0/24: it is a network; give the address of the guest in it',
  ],
  ['203.0.113.1/24', 'give vif6.0 the address 203.0.113.1: eth0 has it as an address of this domain'],
  ['10.7.0.136/24', 'give vif6.0 the address 10.7.0.136: vif5.0 has it as an address of this domain'],
])('%s is refused', async (ip, reason) => {
  await domnet.vifd();
  const first = await plug(5, { ip: '10.7.0.9/24' });
  await first.connected();
  const second = await plug(6, { ip });
  await second.status('error');
  expect(await second.read('hotplug-error')).toBe(reason);
});

test('a change of ip takes effect without unplugging', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'nat');
  const vif = await plug(5, { ip: '10.7.0.9/24' });
  await vif.connected();
  await vif.write({ ip: '10.8.0.9/24' });
  const after = ['10.0.201.1', '10.0.202.1', '10.8.0.9'].map((address) => `${address} . "eth0"`);
  await until('the new address', async () => (await masqueraded()).join() === after.join());
  await configure(vif, '10.8.0.9/24', '10.8.0.136');
  await answers(vif, '198.51.100.80');
  await until(
    'the old router to go',
    async () =>
      (await domnet.link('vif5.0'))?.addr_info.filter(({ family }) => family === 'inet').length === 1,
  );
  expect(await domnet.ip('route show proto 120')).not.toContain('10.7.0.9');
  await beside.untouched();
});

test('what is deleted by hand comes back, and a restart touches nothing', async () => {
  await openTables(domnet, 'inet vifd');
  const first = await domnet.vifd();
  const vif = await plug(5);
  await vif.connected();
  await configure(vif, '10.0.5.1/16', '10.0.5.128');
  for (const command of [
    'flush set inet vifd masqueraded4',
    'flush chain inet vifd leaving',
    'delete table inet vifd',
  ]) {
    await domnet.exec('nft', [command]);
    await answers(vif, '198.51.100.80');
    expect(await masqueraded()).toEqual(['10.0.5.1 . "eth0"']);
  }
  await first.kill();
  const second = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  await second.logged('vif adopted', 'vif5.0');
  expect(second.log.filter(({ msg }) => msg === 'host change')).toEqual([]);
});

test('removal leaves nothing, also of a vif that went while no daemon ran', async () => {
  chmodSync(domnet.dir, 0o755);
  const config = '[nat]\ndhcp = "dnsmasq"\n';
  const first = await domnet.vifd({ config });
  const [one, two] = await Promise.all([plug(5), plug(6)]);
  await Promise.all([one.connected(), two.connected()]);
  expect(readdirSync(`${domnet.dir}/dhcp/hosts`).sort()).toEqual(['vif5.0', 'vif6.0']);
  await one.unplug();
  await until('the file to go', () => !existsSync(`${domnet.dir}/dhcp/hosts/vif5.0`));
  expect(await masqueraded()).toEqual(['10.0.6.1 . "eth0"']);
  await first.kill();
  await two.removeNetdev();
  await domnet.xenstore.rm('backend');
  await domnet.vifd({ config });
  expect(readdirSync(`${domnet.dir}/dhcp/hosts`)).toEqual([]);
  expect(readdirSync(`${domnet.dir}/dhcp/options`)).toEqual([]);
  const ruleset = await domnet.exec('nft', ['list', 'ruleset']);
  expect(ruleset).not.toMatch(/table|vif[56]\.0/);
  expect(await domnet.ip('route show proto 120')).toBe('');
});

/** A DHCP client in the guest; resolves with what the server said, when there is a lease. */
async function lease(vif: Vif, options: string[] = []): Promise<Record<string, string>> {
  const script = `${domnet.dir}/udhcpc`;
  writeFileSync(
    script,
    `#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router"
echo "ip=$ip mask=$mask router=$router dns=$dns broadcast=$broadcast"
`,
    { mode: 0o755 },
  );
  const client = [
    'udhcpc',
    '-i',
    'eth0',
    '-f',
    '-q',
    '-n',
    '-t',
    '20',
    '-T',
    '1',
    '-O',
    'broadcast',
    '-s',
    script,
    ...options,
  ];
  const said = await vif.guestExec('busybox', client);
  return Object.fromEntries([...said.matchAll(/(\w+)=(\S*)/g)].map(([, key, value]) => [key, value]));
}

test('a DHCP client is given its one address, router and resolver, and is on the internet', async () => {
  chmodSync(domnet.dir, 0o755);
  const vifd = await domnet.vifd({
    config: '[nat]\ndhcp = "dnsmasq"\ndns = ["192.0.2.53", "192.0.2.54"]\n[log]\nlevel = "debug"\n',
  });
  const vif = await plug(5);
  await vif.connected();
  expect(await lease(vif)).toMatchObject({
    ip: '10.0.5.1',
    mask: '16',
    router: '10.0.5.128',
    broadcast: '10.0.255.255',
    // busybox separates by blanks, and the second one goes to another word of the script's line.
    dns: '192.0.2.53',
  });
  await answers(vif, '198.51.100.80');

  // One that came later, with an address and a name of its own.
  const named = await plug(6, { ip: '10.7.0.9/24', vifname: 'web' });
  await named.connected();
  expect(await lease(named)).toMatchObject({ ip: '10.7.0.9', mask: '24', router: '10.7.0.136' });
  await answers(named, '198.51.100.80');

  // The address goes to another guest, whose MAC address is another.
  await named.unplug();
  const heir = await plug(7, { ip: '10.7.0.9/24' });
  await heir.connected();
  expect(await lease(heir)).toMatchObject({ ip: '10.7.0.9' });

  // A guest with the MAC address of another gets no answer.
  await heir.guestIp('address flush dev eth0');
  await heir.guestIp('link set eth0 down address 00:16:3e:00:05:00');
  await heir.guestIp('link set eth0 up');
  await expect(lease(heir, ['-t', '2'])).rejects.toThrow();
  expect(vifd.log.filter(({ msg }) => msg === 'dnsmasq ended')).toEqual([]);
});

test('dnsmasq is started again when it ends, and ends with the daemon', async () => {
  chmodSync(domnet.dir, 0o755);
  const vifd = await domnet.vifd({ config: '[nat]\ndhcp = "dnsmasq"\n' });
  const vif = await plug(5);
  await vif.connected();
  const server = (): Promise<number[]> =>
    domnet.exec('pgrep', ['-P', `${vifd.pid}`, '-x', 'dnsmasq']).then(
      (pids) => pids.trim().split('\n').map(Number),
      () => [],
    );
  const [pid] = await until('dnsmasq', async () =>
    (await server()).length > 0 ? await server() : undefined,
  );
  process.kill(pid as number, 'SIGKILL');
  await vifd.logged('dnsmasq ended');
  expect(await lease(vif)).toMatchObject({ ip: '10.0.5.1' });
  const [next] = await server();
  expect(next).not.toBe(pid);
  await vifd.terminate();
  await until('its end', () => !existsSync(`/proc/${next}`));
});
