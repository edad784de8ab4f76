import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { Outside } from '../../support/net/outside.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let outside: Outside;

beforeEach(async () => {
  domnet = await Domnet.start();
  // The guests' addresses are of this network: its hosts ask for them by ARP and neighbour discovery.
  outside = await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['192.0.2.1/24', '2001:db8::1/64'],
    peer: ['192.0.2.254/24', '2001:db8::fe/64'],
  });
});
afterEach(() => domnet.stop());

const plug = (domid: number, keys: Record<string, string | undefined> = {}): Promise<Vif> =>
  domnet.plug({
    domid,
    keys: { script: '/etc/xen/scripts/vif-route', bridge: undefined, gatewaydev: 'eth0', ...keys },
  });

/** The guest's own configuration, as its administrator made it. */
async function configure(vif: Vif, v4: string, v6?: string): Promise<void> {
  await vif.guestIp(`address add ${v4}/32 dev eth0`);
  await vif.guestIp('route add 192.0.2.1 dev eth0');
  await vif.guestIp('route add default via 192.0.2.1');
  if (v6 === undefined) return;
  await vif.guestIp(`address add ${v6}/128 dev eth0 nodad`);
  await vif.guestIp('route add default via fe80::1 dev eth0');
}

/** Waits for an answer to a ping, which may have to wait for the kernel's own address detection. */
const answers = (ping: () => Promise<string>): Promise<unknown> =>
  until('an answer', () =>
    ping().then(
      () => true,
      () => undefined,
    ),
  );

const ping = (vif: Vif, to: string): Promise<string> => vif.guestExec('ping', ['-c', '1', '-W', '1', to]);

/** Our routes, but for those to the neighbours. */
const routes = async (family: 4 | 6 = 4): Promise<string[]> =>
  (await domnet.ip(`-${family} route show proto 120`))
    .trim()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !/ dev vif20[12]\.0 /.test(line));

test('a guest is reached at its address, from both sides, by IPv4 and IPv6', async () => {
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  await configure(vif, '192.0.2.5', '2001:db8::5');

  await answers(() => ping(vif, '192.0.2.254'));
  await answers(() => ping(vif, '2001:db8::fe'));
  await vif.guestIp('neighbour flush all');
  await outside.ip('neighbour flush all');
  await answers(() => outside.exec('ping', ['-c', '1', '-W', '2', '192.0.2.5']));
  await answers(() => outside.exec('ping', ['-c', '1', '-W', '2', '2001:db8::5']));

  expect(await routes()).toEqual(['192.0.2.5 dev vif5.0 scope link src 192.0.2.1 metric 2']);
  expect(await routes(6)).toEqual(['2001:db8::5 dev vif5.0 src 2001:db8::1 metric 2 pref medium']);
  const link = await domnet.link('vif5.0');
  expect(link?.addr_info.filter(({ local }) => !local.startsWith('fe80::f'))).toMatchObject([
    { local: '192.0.2.1', prefixlen: 32 },
    { local: '2001:db8::1', prefixlen: 128 },
    { local: 'fe80::1', prefixlen: 64 },
  ]);
  expect((await domnet.ip('neighbour show dev vif5.0 nud permanent')).split('\n').sort()).toEqual([
    '',
    '192.0.2.5 lladdr 00:16:3e:00:05:00 PERMANENT proto 120 ',
    '2001:db8::5 lladdr 00:16:3e:00:05:00 PERMANENT proto 120 ',
  ]);
});

test('IPv6 neighbours of guests, outside and beside them, find that these are there still', async () => {
  await domnet.vifd();
  const [one, other] = await Promise.all(
    [5, 6].map((domid) => plug(domid, { ip: `192.0.2.${domid} 2001:db8::${domid} 2001:db8:9::${domid}/64` })),
  );
  const guests = [one, other] as [Vif, Vif];
  for (const vif of guests) {
    await vif.connected();
    await configure(vif, `192.0.2.${vif.domid}`, `2001:db8::${vif.domid}`);
    await vif.guestIp(`address add 2001:db8:9::${vif.domid}/64 dev eth0 nodad`);
  }
  for (const [asks, address, device] of [
    [outside, '2001:db8::5', 'lan0'],
    [outside, '2001:db8::6', 'lan0'],
    [guests[0], '2001:db8:9::6', 'eth0'],
    [guests[1], '2001:db8:9::5', 'eth0'],
  ] as const) {
    const [ip, exec] =
      asks instanceof Outside
        ? [(command: string) => asks.ip(command), (args: string[]) => asks.exec('ping', args)]
        : [(command: string) => asks.guestIp(command), (args: string[]) => asks.guestExec('ping', args)];
    await answers(() => exec(['-c', '1', '-W', '1', address]));
    await until('an address to ask from', async () => (await ip('address show tentative')) === '');
    // As the kernel does with an entry in use, half a minute after it was confirmed last.
    await ip(`neighbour change ${address} dev ${device} nud probe`);
    const isConfirmed = async () =>
      (await ip(`neighbour show ${address} dev ${device}`)).includes('REACHABLE');
    await until(`${address} to be confirmed`, isConfirmed, 1000);
  }
});

test('a network among the addresses is routed as a whole', async () => {
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 198.51.100.0/28' });
  await vif.connected();
  await configure(vif, '192.0.2.5');
  await vif.guestIp('address add 198.51.100.9/32 dev lo');
  await domnet.exec('ping', ['-c', '1', '-W', '5', '198.51.100.9']);
  expect(await routes()).toContain('198.51.100.0/28 dev vif5.0 scope link src 192.0.2.1 metric 2');
  // What others have in a guest's network keeps the next vif from it, until that has gone.
  const lacks = async (): Promise<string> => (await domnet.command('status', vif.name)).stdout;
  const late = await plug(6, { ip: '203.0.113.0/28' });
  await late.connected();
  await late.unplug();
  for (const at of ['198.51.100', '203.0.113'])
    await domnet.ip(`route add 100.100.${at.length}.0/24 via ${at}.2 dev eth0 onlink`);
  await until('the next hop', async () => (await lacks()).includes('198.51.100.2 is the next hop'), 5000);
  const other = await plug(7, { ip: '203.0.113.0/28' });
  await other.status('error');
  await domnet.ip('route delete 100.100.9.0/24');
  await until('the other', async () => (await other.read('hotplug-status')) === 'connected', 5000);
  await domnet.ip('route delete 100.100.10.0/24');
  await domnet.ip('address add 198.51.100.3/32 dev eth0');
  await until('the address', async () => (await lacks()).includes('eth0 has it as an address'), 5000);
  await domnet.ip('address delete 198.51.100.3/32 dev eth0');
  await until('nothing to lack', async () => !(await lacks()).includes('goes without'), 5000);
});

test('what is answered for by IPv6 is so again when it was switched off at a gateway device without an address', async () => {
  await domnet.ip('address delete 2001:db8::1/64 dev eth0');
  await domnet.vifd();
  const [vif, beside] = [await plug(5, { ip: '192.0.2.5 2001:db8::5' }), await plug(6, { ip: '192.0.2.6' })];
  for (const each of [vif, beside]) await each.connected();
  const switched = (off: number) => domnet.exec('sysctl', ['-qw', `net.ipv6.conf.eth0.disable_ipv6=${off}`]);
  await switched(1);
  await switched(0);
  const proxies = async (): Promise<string> => await domnet.ip('neighbour show proxy');
  await until('the entry', async () => /^2001:db8::5 dev eth0/m.test(await proxies()), 5000);
  expect(await proxies()).toMatch(/^192\.0\.2\.6 dev eth0/m);
});

test('without gatewaydev, the default route tells the gateway device, and is followed', async () => {
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5', gatewaydev: undefined });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toBe(
    'route vif5.0 by the default route: there is none; set gatewaydev, or gateway_device in [route]',
  );
  await domnet.ip('route add default via 192.0.2.254');
  await vif.connected();
  expect(await vif.read('hotplug-error')).toBeUndefined();
  expect(await routes()).toEqual(['192.0.2.5 dev vif5.0 scope link src 192.0.2.1 metric 2']);
});

test('a gateway device without an address is waited for, and its address is followed when it changes', async () => {
  await domnet.ip('address flush dev eth0');
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5' });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toBe(
    'route vif5.0 by eth0: it has no IPv4 address; give it one, or name another gatewaydev',
  );
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  await vif.connected();

  await domnet.ip('address add 192.0.2.77/24 dev eth0');
  await domnet.ip('address delete 192.0.2.1/24 dev eth0');
  // Removing a first address takes the others of its network along, unless told not to.
  await domnet.ip('address replace 192.0.2.77/24 dev eth0');
  await until('the new source address', async () =>
    (await routes()).includes('192.0.2.5 dev vif5.0 scope link src 192.0.2.77 metric 2'),
  );
  await until('the new address on the vif', async () => {
    const held = (await domnet.link('vif5.0'))?.addr_info.filter(({ family }) => family === 'inet');
    return held?.length === 1 && held[0]?.local === '192.0.2.77';
  });
});

test('a change of ip takes effect without unplugging', async () => {
  const vifd = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 192.0.2.6 2001:db8::5' });
  await vif.connected();
  await vif.write({ ip: '192.0.2.6 192.0.2.7' });
  await until('the routes', async () => (await routes()).join().includes('192.0.2.7'));
  await until(
    'the old ones to go',
    async () => (await domnet.ip('neighbour show proxy')).split('\n').length === 3,
  );
  expect(await routes()).toEqual([
    '192.0.2.6 dev vif5.0 scope link src 192.0.2.1 metric 2',
    '192.0.2.7 dev vif5.0 scope link src 192.0.2.1 metric 2',
  ]);
  expect(await routes(6)).toEqual(['']);
  expect(vifd.log.filter(({ level }) => level === 'error')).toEqual([]);
});

test('what is deleted by hand comes back', async () => {
  const vifd = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  const before = [await routes(), await routes(6)];
  await domnet.ip('route delete 192.0.2.5');
  await domnet.ip('-6 route delete 2001:db8::5');
  await domnet.ip('address delete 192.0.2.1/32 dev vif5.0');
  await domnet.exec('sysctl', ['-qw', 'net/ipv4/conf/vif5.0/proxy_arp=0', 'net/ipv4/conf/eth0/forwarding=0']);
  await vifd.logged('vif repaired', 'vif5.0');
  await until(
    'the routes',
    async () => JSON.stringify([await routes(), await routes(6)]) === JSON.stringify(before),
  );
  await until(
    'the sysctls',
    async () =>
      (await domnet.exec('sysctl', [
        '-n',
        'net/ipv4/conf/vif5.0/proxy_arp',
        'net/ipv4/conf/eth0/forwarding',
      ])) === '1\n1\n',
  );
  await domnet.ip('link set vif5.0 down');
  await until(
    'the routes after a down',
    async () => JSON.stringify([await routes(), await routes(6)]) === JSON.stringify(before),
  );
  // The kernel forgets its neighbours with it, and answers no guest that asks for its router.
  await domnet.ip('link set vif5.0 arp off');
  await until('ARP', async () => !(await domnet.link('vif5.0'))?.flags.includes('NOARP'));
  await until('the neighbours after that', async () => {
    const entries = await domnet.ip('neighbour show dev vif5.0 nud permanent');
    return ['192.0.2.5', '2001:db8::5'].every((address) => entries.includes(`${address} lladdr`));
  });
  await until('the proxy entries', async () => {
    await domnet.ip('link set eth0 down');
    await domnet.ip('link set eth0 up');
    await domnet.ip('address replace 2001:db8::1/64 dev eth0 nodad');
    return (await domnet.ip('neighbour show proxy')).includes('2001:db8::5 dev eth0');
  });
});

test('a neighbour that is deleted or changed by hand is back within a second, and no other was touched', async () => {
  const daemon = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  const beside = await Neighbours.of(daemon, domnet, 'route', { keys: { gatewaydev: 'eth0' } });
  const entries = () => domnet.ip('neighbour show dev vif5.0 nud permanent');
  const before = await entries();
  const own = await vif.guestExec('cat', ['/sys/class/net/eth0/address']);
  for (const change of [
    'delete 192.0.2.5',
    'delete 2001:db8::5',
    'replace 192.0.2.5 lladdr 00:16:3e:00:99:99 nud permanent',
    'change 2001:db8::5 lladdr 00:16:3e:00:99:99 nud stale',
    'delete 192.0.2.5',
  ]) {
    await domnet.ip(`neighbour ${change} dev vif5.0`);
    await until(`what was there before ${change}`, async () => (await entries()) === before, 1000);
  }
  expect(before).toContain(`192.0.2.5 lladdr ${own.trim()}`);
  await beside.untouched();
});

test('what is deleted by hand without the kernel saying so comes back within a minute', async () => {
  const vifd = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  const entries = async () => [
    await domnet.ip('neighbour show dev vif5.0 nud permanent'),
    await domnet.ip('neighbour show proxy'),
    await domnet.exec('sysctl', ['-n', 'net/ipv4/conf/vif5.0/accept_redirects']),
  ];
  const before = await entries();
  await domnet.ip('neighbour delete proxy 2001:db8::5 dev eth0');
  await domnet.exec('sysctl', ['-qw', 'net/ipv4/conf/vif5.0/accept_redirects=1']);
  const same = async () => JSON.stringify(await entries()) === JSON.stringify(before);
  expect(await same()).toBe(false);
  await until('all of it', same, 61_000);
  await vifd.logged('vif repaired', 'vif5.0');
}, 90_000);

test('what should be deleted and has been already is no error', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'route', { keys: { gatewaydev: 'eth0' } });
  const vif = await plug(5, { ip: '192.0.2.5 192.0.2.6' });
  await vif.connected();
  await domnet.ip('neighbour delete 192.0.2.5 dev vif5.0');
  await domnet.ip('neighbour delete proxy 192.0.2.5 dev eth0');
  await vif.write({ ip: '192.0.2.6' });
  await until('the other address', async () => (await routes()).length === 1);
  await domnet.ip('neighbour delete 192.0.2.6 dev vif5.0');
  await domnet.ip('neighbour delete proxy 192.0.2.6 dev eth0');
  // Without netback's netdev going first.
  await vif.write({ online: '0', state: '6' });
  await until('the deletion of the backend', async () => !(await vif.exists()));
  expect(await vif.read('hotplug-error')).toBeUndefined();
  await beside.untouched();
});

test('a restart touches nothing', async () => {
  const first = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  await first.kill();
  const second = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  await second.logged('vif adopted', 'vif5.0');
  expect(second.log.filter(({ msg }) => msg === 'host change')).toEqual([]);
});

test('removal leaves nothing', async () => {
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  await vif.unplug();
  expect(await domnet.ip('-4 route show proto 120')).toBe('');
  expect(await domnet.ip('-6 route show proto 120')).toBe('');
  await until('the proxy entries to go', async () => (await domnet.ip('neighbour show proxy')) === '');
});

test('a netdev that is on its way out is no error: its sysctls go before the kernel says that it does', async () => {
  const daemon = await domnet.vifd();
  const beside = await Neighbours.of(daemon, domnet, 'route', { keys: { gatewaydev: 'eth0' } });
  for (let domid = 1; domid <= 20; domid++) {
    const vif = await plug(domid, { ip: `192.0.2.${domid + 10}` });
    await vif.connected();
    await vif.removeNetdev();
    await vif.unplug();
  }
  expect(daemon.log.filter(({ level }) => level !== 'info')).toEqual([]);
  await beside.untouched();
});

test('what a vif left that went while no daemon ran is removed at the start', async () => {
  const first = await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5 2001:db8::5' });
  await vif.connected();
  await first.kill();
  await vif.removeNetdev();
  await domnet.xenstore.rm('backend');
  await domnet.vifd();
  expect(await domnet.ip('neighbour show proxy')).toBe('');
});

/** The connections that the guest began, or that were begun to it. */
const tracked = async (): Promise<string> =>
  (await domnet.exec('conntrack', ['-L', '-s', '192.0.2.5'])) +
  (await domnet.exec('conntrack', ['-L', '-d', '192.0.2.5']));

test('an address moves to the newest vif, without a trace of the old one, and back when that goes', async () => {
  // What is only routed is tracked where another program's rules ask for it.
  await domnet.exec('nft', [
    'add table t; add chain t c { type filter hook forward priority 0; }; add rule t c ct state new',
  ]);
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "debug"\n' });
  const beside = await Neighbours.of(daemon, domnet, 'route', { keys: { gatewaydev: 'eth0' } });
  const old = await plug(5, { ip: '192.0.2.5 192.0.2.6' });
  await old.connected();
  await configure(old, '192.0.2.5');
  await answers(() => ping(old, '192.0.2.254'));
  expect(await tracked()).toContain('src=192.0.2.5');

  const next = await plug(6, { ip: '192.0.2.5' });
  await next.connected();
  expect(await tracked()).toBe('');
  expect(await routes()).toEqual([
    '192.0.2.5 dev vif6.0 scope link src 192.0.2.1 metric 2',
    '192.0.2.6 dev vif5.0 scope link src 192.0.2.1 metric 2',
  ]);
  await until(
    'the old neighbour entry to go',
    async () => !(await domnet.ip('neighbour show dev vif5.0 nud permanent')).includes('192.0.2.5'),
  );
  await configure(next, '192.0.2.5');
  await answers(() => outside.exec('ping', ['-c', '1', '-W', '1', '192.0.2.5']));
  expect(await old.read('hotplug-status')).toBe('connected');

  // A link that is down for a moment takes the kernel's route, and the address stays where it is.
  const since = daemon.log.length;
  await domnet.ip('link set vif6.0 down');
  await daemon.logged('vif repaired', next.name);
  await answers(() => outside.exec('ping', ['-c', '1', '-W', '1', '192.0.2.5']));
  const ofOld = daemon.log.slice(since).filter(({ vif, msg }) => vif === old.name && msg === 'host change');
  expect(ofOld).toEqual([]);

  const leadsTo = (device: string): Promise<unknown> =>
    until(`the way to ${device}`, async () =>
      (await routes()).includes(`192.0.2.5 dev ${device} scope link src 192.0.2.1 metric 2`),
    );
  await next.write({ ip: '192.0.2.7' });
  await leadsTo('vif5.0');
  await next.write({ ip: '192.0.2.5' });
  await leadsTo('vif6.0');
  await next.unplug();
  await leadsTo('vif5.0');
  await beside.untouched();
});

test('a vif with a name of its own is routed as well', async () => {
  await domnet.vifd();
  const vif = await plug(5, { ip: '192.0.2.5', vifname: 'web' });
  await vif.connected();
  await configure(vif, '192.0.2.5');
  await answers(() => ping(vif, '192.0.2.254'));
  expect(await routes()).toEqual(['192.0.2.5 dev web scope link src 192.0.2.1 metric 2']);
});

test.each([
  ['0.0.0.0/0', "route vif5.0 0.0.0.0/0: it is everything, and would replace the domain's own default route"],
])('%s is refused', async (ip, reason) => {
  await domnet.vifd();
  const vif = await plug(5, { ip });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toBe(reason);
});

test('an address that no guest can have is refused, and the one beside is not touched; class E is one that it can', async () => {
  await domnet.vifd();
  const good = await plug(4, { ip: '192.0.2.4 240.0.0.4' });
  // A host's route to a loopback address would go before the kernel's own.
  const vif = await plug(5, { ip: '192.0.2.5 127.0.0.53' });
  await good.connected();
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toBe(
    'read backend/vif/5/0/ip: "127.0.0.53" is loopback, and no host can have it as its own; leave it out, or give that of a host',
  );
  expect(await domnet.ip('route get 127.0.0.53')).toContain(' dev lo ');
  await configure(good, '192.0.2.4');
  await good.guestIp('address add 240.0.0.4/32 dev lo');
  await answers(() => domnet.exec('ping', ['-c', '1', '-W', '1', '240.0.0.4']));
  await vif.write({ ip: '192.0.2.5' });
  await vif.connected();
  expect((await routes()).map((route) => route.split(' ', 3).join(' '))).toEqual([
    '192.0.2.4 dev vif4.0',
    '192.0.2.5 dev vif5.0',
    '240.0.0.4 dev vif4.0',
  ]);
});
