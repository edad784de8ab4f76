import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { openTables } from '../../support/net/open-tables.js';
import { Outside } from '../../support/net/outside.js';
import { Capture } from '../../support/packets/packets.js';
import { exec, until } from '../../support/process/exec.js';

// A driver domain between the uplink's network, a bridge with two hosts, and one for its management.
let domnet: Domnet;
let uplink: Outside;
let neighbour: Outside;
let management: Outside;

const sysctls = (...settings: string[]): Promise<string> => domnet.exec('sysctl', ['-qw', ...settings]);

beforeAll(async () => {
  domnet = await Domnet.start();
  await sysctls('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');
  await sysctls('net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0');
  await domnet.addBridge('up0');
  await domnet.ip('address add 192.0.2.1/24 dev up0');
  await domnet.ip('address add 2001:db8:ffff::1/64 dev up0 nodad');
  // Frames from port to port go through the chains of IP as well.
  await domnet.exec('sysctl', ['-eqw', 'net.bridge.bridge-nf-call-iptables=1']);
  await domnet.exec('sysctl', ['-eqw', 'net.bridge.bridge-nf-call-ip6tables=1']);
  const host = async (
    device: string,
    number: number,
    peer: string[],
    own: string[] = [],
  ): Promise<Outside> => {
    const outside = await Outside.connect(domnet, { device, number, addresses: own, peer });
    for (const router of own.length > 0 ? own : ['192.0.2.1/24', '2001:db8:ffff::1/64'])
      await outside.ip(`${router.includes(':') ? '-6 ' : ''}route add default via ${router.split('/')[0]}`);
    if (own.length === 0) await domnet.ip(`link set ${device} master up0`);
    return outside;
  };
  uplink = await host('port0', 60_000, ['192.0.2.9/24', '2001:db8:ffff::9/64']);
  neighbour = await host('port1', 60_001, ['192.0.2.8/24', '2001:db8:ffff::8/64']);
  management = await host(
    'mg0',
    60_002,
    ['198.51.100.9/24', '2001:db8:aaaa::9/64'],
    ['198.51.100.1/24', '2001:db8:aaaa::1/64'],
  );
  await domnet.ip('route add default via 192.0.2.9');
  await domnet.ip('-6 route add default via 2001:db8:ffff::9');
});
afterAll(async () => {
  for (const capture of captures.values()) await capture.stop();
  await domnet.stop();
});

/** An echo request: where it is sent, to what address, and where that is. */
type Way = readonly [from: string, target: string, at: string];

const captures = new Map<string, Capture>();
let tried = 0x1000;

/** The ways on which echo requests arrive, answered or not; all are tried at once. */
async function arriving(ways: readonly Way[]): Promise<Way[]> {
  const device = (at: string): string =>
    [uplink, neighbour, management].some(({ namespace }) => namespace === at) ? 'lan0' : 'eth0';
  for (const [, , at] of ways) {
    if (captures.has(at)) continue;
    captures.set(at, await Capture.start(at, device(at)));
  }
  const attempts = ways.map((way) => ({ way, pattern: `a1b2${(tried++).toString(16)}` }));
  const saw = ({ way: [, , at], pattern }: (typeof attempts)[number]): boolean =>
    captures.get(at)?.frames.some((frame) => frame.includes(pattern.repeat(2))) ?? false;
  await Promise.all(
    attempts.map(async (attempt) => {
      const [from, target] = attempt.way;
      const args = ['netns', 'exec', from, 'ping', '-c', '1', '-W', '0.5', '-p', attempt.pattern, target];
      const answered = await exec('ip', args).then(
        () => true,
        () => false,
      );
      if (answered) await until('the request', () => saw(attempt));
    }),
  );
  return attempts.filter(saw).map(({ way }) => way);
}

async function guest(script: string, domid: number): Promise<Vif> {
  const keys = { script, bridge: undefined, ip: `10.0.0.${domid} 2001:db8::${domid}` };
  const vif = await domnet.plug({
    domid,
    keys: script === 'vif-route' ? { ...keys, gatewaydev: 'up0' } : keys,
  });
  await vif.connected();
  const { addr_info = [] } = (await domnet.link(vif.name)) ?? {};
  const gateway = addr_info.find(({ family }) => family === 'inet')?.local ?? '';
  await vif.guestIp(`address add 10.0.0.${domid}/32 dev eth0`);
  await vif.guestIp(`route add ${gateway} dev eth0`);
  await vif.guestIp(`route add default via ${gateway}`);
  await vif.guestIp(`address add 2001:db8::${domid}/128 dev eth0 nodad`);
  await vif.guestIp('-6 route add default via fe80::1 dev eth0');
  return vif;
}

const managed = ['198.51.100.9', '2001:db8:aaaa::9'] as const;

/** The ways from a place to the management network. */
const toManagement = (from: string): Way[] =>
  managed.map((target): Way => [from, target, management.namespace]);

/** Those among the hosts on the bridge, which the domain passes without forwarding them. */
const onBridge = (): Way[] =>
  ['192.0.2.8', '2001:db8:ffff::8'].map((target) => [uplink.namespace, target, neighbour.namespace]);

const forwarding = async (): Promise<string> => {
  const of = ['ipv4.conf.up0', 'ipv4.conf.mg0', 'ipv6.conf.all', 'ipv6.conf.default'];
  const values = await domnet.exec('sysctl', ['-n', ...of.map((each) => `net.${each}.forwarding`)]);
  return values.trim().replace(/\s+/g, ' ');
};

/** The devices in a set, sorted. */
const elements = async (set: string): Promise<string[]> => {
  const listed = await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', set]).catch(() => '');
  const bare = listed.replace(/ comment "[^"]*"/g, '');
  return [...bare.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name).sort();
};

/** Takes guests off the network, and waits until nothing of them is left in the domain. */
async function leave(...vifs: Vif[]): Promise<void> {
  for (const vif of vifs) {
    const at = await domnet.guestNamespace(vif.domid);
    await captures.get(at)?.stop();
    captures.delete(at);
    await vif.unplug();
  }
  await until(
    'the table to go',
    async () => !(await domnet.exec('nft', ['list', 'tables'])).includes('inet'),
  );
}

/** The ways with two guests, and those of them on which a packet arrives. */
async function waysOf(script: string): Promise<{ all: Way[]; right: Way[] }> {
  const [one, two] = [await domnet.guestNamespace(1), await domnet.guestNamespace(2)];
  const ways = (from: string, at: string, ...targets: string[]): Way[] =>
    targets.map((target) => [from, target, at]);
  const out = ways(one, uplink.namespace, '192.0.2.9', '2001:db8:ffff::9');
  const beside = ways(one, two, '10.0.0.2', '2001:db8::2');
  const inward = ways(uplink.namespace, one, '10.0.0.1', '2001:db8::1');
  const wrong = [
    ...toManagement(uplink.namespace),
    ...toManagement(one),
    ...ways(management.namespace, uplink.namespace, '192.0.2.9', '2001:db8:ffff::9'),
    ...ways(management.namespace, one, '10.0.0.1', '2001:db8::1'),
  ];
  // New connections come to a routed guest, and not to one behind NAT.
  const right = [...onBridge(), ...out, ...beside, ...(script === 'vif-route' ? inward : [])];
  return { all: [...onBridge(), ...out, ...beside, ...inward, ...wrong], right };
}

describe.each(['vif-route', 'vif-nat'])('%s', (script) => {
  it('forwards between guests and the uplink, and nowhere else', async () => {
    const between = [...onBridge(), ...toManagement(uplink.namespace)];
    expect(await arriving(between)).toEqual(onBridge());
    expect(await forwarding()).toBe('0 0 0 0');
    const daemon = await domnet.vifd();
    const vifs = [await guest(script, 1), await guest(script, 2)];
    const { all, right } = await waysOf(script);
    expect(await arriving(all)).toEqual(right);
    await leave(...vifs);
    expect(await forwarding()).toBe('0 0 0 0');
    expect(await arriving(between)).toEqual(onBridge());
    await daemon.kill();
  });
});

it('holds to that whatever becomes of the tables and of vifd', async () => {
  await openTables(domnet, 'netdev vifd', 'inet vifd');
  const daemon = await domnet.vifd();
  const vifs = [await guest('vif-route', 1), await guest('vif-route', 2)];
  const { all, right } = await waysOf('vif-route');
  const opened = async () => ({
    devices: await elements('opened_devices'),
    families: await domnet
      .exec('nft', ['list', 'set', 'inet', 'vifd', 'opened_families'])
      .then((listed) => listed.match(/ipv\d/g))
      .catch(() => null),
    v4: await elements('opened4'),
    v6: await elements('opened6'),
  });
  const guests = ['vif1.0', 'vif2.0'];
  const noted = { devices: ['up0'], families: ['ipv6'], v4: guests, v6: guests };
  const allNoted = () => until('all to be noted', async () => isDeepStrictEqual(await opened(), noted));
  await allNoted();
  await domnet.exec('nft', ['flush ruleset']);
  await allNoted();
  for (const note of ['opened_families { ipv6 }', 'opened_devices { up0 }']) {
    await domnet.exec('nft', [`delete element inet vifd ${note}`]);
    await allNoted();
  }
  await daemon.kill();
  expect(await arriving(all)).toEqual(right);
  // One that does not know what an earlier one has made forward learns it when that is switched off.
  await domnet.exec('nft', ['flush ruleset']);
  const other = await domnet.vifd();
  await until('both guests', async () => (await elements('guests')).length === 2);
  expect(await opened()).toEqual({ devices: [], families: null, v4: guests, v6: [] });
  await sysctls('net.ipv4.conf.up0.forwarding=0', 'net.ipv6.conf.all.forwarding=0');
  await allNoted();
  expect(await arriving(all)).toEqual(right);
  await leave(...vifs);
  expect(await forwarding()).toBe('0 0 0 0');
  await other.kill();
});

it('keeps networks apart whatever devices come, and whatever they are named', async () => {
  const daemon = await domnet.vifd();
  const vifs = [await guest('vif-nat', 1), await guest('vif-nat', 2)];
  const { all, right } = await waysOf('vif-nat');
  const wayOut = (name: string) =>
    until(`the way out by ${name}`, async () => (await elements('ways_out')).includes(name));
  // A device that is up can be renamed since Linux 6.2.
  await domnet.ip('link set up0 name wan0');
  await domnet.ip('link set mg0 name mgmt0');
  await wayOut('wan0');
  expect(await arriving(all)).toEqual(right);
  await daemon.kill();
  await domnet.ip('link set wan0 name wan1');
  const later = await Outside.connect(domnet, {
    device: 'mg1',
    number: 60_003,
    addresses: ['203.0.113.1/24', '2001:db8:bbbb::1/64'],
    peer: ['203.0.113.9/24', '2001:db8:bbbb::9/64'],
  });
  await later.ip('route add default via 203.0.113.1');
  await later.ip('-6 route add default via 2001:db8:bbbb::1');
  const between = [...toManagement(uplink.namespace), ...toManagement(later.namespace)];
  expect(await arriving([...onBridge(), ...between])).toEqual(onBridge());
  const other = await domnet.vifd();
  await wayOut('wan1');
  expect(await arriving([...all, ...toManagement(later.namespace)])).toEqual(right);
  await leave(...vifs);
  await domnet.ip('link delete mg1');
  await domnet.ip('link set wan1 name up0');
  await domnet.ip('link set mgmt0 name mg0');
  expect(await forwarding()).toBe('0 0 0 0');
  await other.kill();
});

it('gives a guest the name of a device that was made forward before', async () => {
  const daemon = await domnet.vifd();
  await domnet.ip('link add web0 type veth peer name web1');
  const beside = await guest('vif-nat', 2);
  await domnet.ip('link delete web0');
  const keys = { script: 'vif-nat', bridge: undefined, ip: '10.0.0.1 2001:db8::1', vifname: 'web0' };
  const vif = await domnet.plug({ domid: 1, keys });
  await vif.connected();
  expect(await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', 'opened6'])).toMatch(
    /"web0" .*comment "vif1\.0"/,
  );
  const failed = daemon.log.filter(({ msg }) => msg === 'vif not attached');
  expect(failed).toEqual([]);
  await leave(vif, beside);
  await daemon.kill();
});

it('switches nothing off that another program has switched on since', async () => {
  const daemon = await domnet.vifd();
  const vif = await guest('vif-nat', 1);
  expect(await forwarding()).toBe('1 0 1 0');
  await sysctls('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  await leave(vif);
  expect(await forwarding()).toBe('1 1 1 1');
  await daemon.kill();
});

/** As in a packet, the addresses of a guest, of this domain in its management's network, and of the host there; what an echo request begins with. */
const atManagement = [
  ['0a000001', 'c6336401', 'c6336409', '0800'],
  [`20010db8${'0'.repeat(23)}1`, `20010db8aaaa${'0'.repeat(19)}1`, `20010db8aaaa${'0'.repeat(19)}9`, '8000'],
] as const;

// The last one: it makes the domain a router.
it.each(['vif-route', 'vif-nat'])('takes nothing of what a router forwarded before: %s', async (script) => {
  await sysctls('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  const between = [...toManagement(uplink.namespace), ...onBridge()];
  expect(await arriving(between)).toEqual(between);
  const daemon = await domnet.vifd();
  const vifs = [await guest(script, 1), await guest(script, 2)];
  const [one, two] = [await domnet.guestNamespace(1), await domnet.guestNamespace(2)];
  const toGuest = (from: string): Way[] =>
    ['10.0.0.1', '2001:db8::1'].map((target): Way => [from, target, one]);
  const right = [...between, ...toManagement(one), ...toGuest(two)];
  // One behind NAT is reached by no network, also where all others reach each other.
  const before = captures.get(management.namespace)?.frames.length ?? 0;
  const inward = [...toGuest(management.namespace), ...toGuest(uplink.namespace)];
  expect(await arriving([...right, ...inward])).toEqual([
    ...right,
    ...(script === 'vif-route' ? inward : []),
  ]);
  // What leaves by a network that no default route leads to is masqueraded for guests behind NAT, and for no other.
  const heard = (captures.get(management.namespace)?.frames ?? []).slice(before);
  const asks = (source: string, [host, echo]: readonly [string, string]): boolean =>
    heard.some((frame) => frame.includes(source + host + echo));
  for (const [guest, own, ...host] of atManagement)
    expect([asks(guest, host), asks(own, host)]).toEqual([script === 'vif-route', script === 'vif-nat']);
  // Without vifd, what comes from now on would not forward.
  await sysctls('net.ipv4.conf.default.forwarding=0');
  await until('both to be held', async () => (await elements('opened4')).length === 2, 5000);
  await sysctls('net.ipv4.conf.default.forwarding=1');
  await until('none to be held', async () => (await elements('opened4')).length === 0, 5000);
  await leave(...vifs);
  expect(await arriving(between)).toEqual(between);
  expect(await forwarding()).toBe('1 1 1 1');
  await daemon.kill();
});
