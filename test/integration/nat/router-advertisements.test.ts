import { chmodSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { connectUplink } from '../../support/net/guests.js';
import type { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';
import { processesWith, wordsOf } from '../../support/process/processes.js';

// Guests of both kinds that have IPv6 by router advertisements, which their kernels take, and by DHCPv6, with ISC's client.

const config = `
[nat]
dhcp = "dnsmasq"
router_advertisements = true
guest_keys = true
domain = "example.com"
ntp = ["2001:db8::123"]

[route]
router_advertisements = true
guest_keys = true
dns = ["192.0.2.53", "2001:db8::53"]

[[vif]]
domid = 5
hostname = "web"
`;
const outside = '2001:db8::fe';
const resolver = 'fd76:6966:ffff::1';

let domnet: Domnet;
let uplink: Outside;
let vifs: Map<number, Vif>;

const plug = async (domid: number, script: string, keys: Record<string, string> = {}): Promise<Vif> => {
  const vif = await domnet.plug({ domid, keys: { script, bridge: undefined, ...keys } });
  await vif.connected();
  return vif;
};

beforeAll(async () => {
  domnet = await Domnet.start();
  // dnsmasq, which gives up root, reads below it.
  chmodSync(domnet.dir, 0o755);
  uplink = await connectUplink(domnet);
  await uplink.exec('sysctl', ['-qw', 'net.ipv6.conf.lan0.accept_ra=2']);
  await uplink.exec('ip', ['-6', 'route', 'add', '2001:db8:8::/64', 'via', '2001:db8::1']);
  await domnet.vifd({ config });
  const plugged = await Promise.all([
    plug(5, 'vif-nat', { ip: '10.9.0.5 fd00:9::5', mtu: '1400' }),
    plug(6, 'vif-nat'),
    plug(7, 'vif-route', { ip: '192.0.2.7 2001:db8::7' }),
    plug(8, 'vif-route', { ip: '2001:db8:8::8/64 2001:db8:8::9' }),
    plug(9, 'vif-nat', { ip: 'fd00:9::9' }),
  ]);
  vifs = new Map(plugged.map((vif) => [vif.domid, vif]));
});
afterAll(() => domnet.stop());

const guest = (domid: number): Vif => vifs.get(domid) as Vif;

let runs = 0;

/** Starts ISC's DHCPv6 client in a guest, which adds the addresses that it is given. */
async function dhclient({ domid }: Vif, identity: string[] = ['-D', 'LL']): Promise<Background> {
  const file = `${domnet.dir}/dhclient-${domid}-${++runs}`;
  writeFileSync(
    `${file}.script`,
    `#!/bin/sh
ready() { ip -6 address show dev "$interface" scope link -tentative | grep -q fe80; }
[ "$reason" != PREINIT6 ] || until ready; do sleep 0.1; done
[ "$reason" != BOUND6 ] || ip address replace "$new_ip6_address/$new_ip6_prefixlen" dev "$interface"
echo "$reason $new_ip6_address/$new_ip6_prefixlen $new_dhcp6_name_servers $new_dhcp6_domain_search $new_fqdn_hostname $new_dhcp6_server_id"
`,
    { mode: 0o755 },
  );
  const leases = identity.includes('-lf') ? [] : ['-lf', `${file}.leases`];
  const words = ['-6', '-d', '-1', ...identity, ...leases, '-pf', `${file}.pid`];
  const namespace = await domnet.guestNamespace(domid);
  const client = new Background('ip', [
    ...['netns', 'exec', namespace, 'sh', '-c', 'exec dhclient "$@" 2>&1', 'dhclient', ...words],
    ...['-sf', `${file}.script`, 'eth0'],
  ]);
  domnet.atEnd(() => client.stop('SIGKILL'));
  return client;
}

/** What a client of a guest is told with each address that it is given. */
async function leased(vif: Vif, identity?: string[]): Promise<string[][]> {
  const client = await dhclient(vif, identity);
  const bound = (): string[] => client.lines.filter((line) => line.startsWith('BOUND6 '));
  await until(`the addresses of ${vif.name}`, () => bound().length > 0, 15_000);
  await client.stop('SIGKILL');
  return bound().map((line) => line.split(' ').slice(1));
}

/** The global IPv6 addresses that a guest has. */
const addressesOf = async (vif: Vif): Promise<string[]> =>
  [...(await vif.guestIp('-6 -o address show dev eth0 scope global')).matchAll(/inet6 (\S+)/g)].map(
    ([, address = '']) => address,
  );

const routersOf = async (vif: Vif): Promise<string[]> =>
  (JSON.parse(await vif.guestIp('-6 -j route show default')) as { gateway: string }[]).map(
    ({ gateway }) => gateway,
  );

const reaches = (vif: Vif): Promise<boolean> =>
  vif.guestExec('ping', ['-c', '1', '-W', '1', outside]).then(
    () => true,
    () => false,
  );

const server = (): number[] =>
  processesWith(`--conf-file=${domnet.dir}/dhcp/dnsmasq.conf`).filter((pid) => wordsOf(pid)[0] === 'dnsmasq');

/** The MTU that a guest has by DHCP; empty where it is told none. */
async function mtuLeased(vif: Vif): Promise<string> {
  const script = `${domnet.dir}/udhcpc`;
  writeFileSync(script, '#!/bin/sh\n[ "$1" != bound ] || echo "$ip $mtu"\n', { mode: 0o755 });
  const words = ['udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-t', '5', '-T', '1', '-O', 'mtu', '-s', script];
  const [, mtu = ''] = (await vif.guestExec('busybox', words)).trim().split(' ');
  return mtu;
}

/** The MTU of a guest's IPv6, which its kernel takes from advertisements. */
const mtuAdvertised = async (vif: Vif): Promise<string> =>
  (await vif.guestExec('cat', ['/proc/sys/net/ipv6/conf/eth0/mtu'])).trim();

/** Whether what answers for names at an address answers a guest. */
const resolves = async (vif: Vif, address: string): Promise<boolean> => {
  // TXT of version.bind in the class CHAOS, which dnsmasq asks no other server for.
  const query = '000101000001000000000000 0776657273696f6e 0462696e64 00 0010 0003'.replaceAll(' ', '');
  const program = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(1)
s.sendto(bytes.fromhex('${query}'), ('${address}', 53))
s.recv(512)`;
  return vif.guestExec('python3', ['-c', program]).then(
    () => true,
    () => false,
  );
};

test('each guest has its own addresses, its router and resolvers, and one without IPv6 is told nothing', async () => {
  const [five, seven, eight] = await Promise.all([5, 7, 8].map((domid) => leased(guest(domid))));
  expect(five?.map((told) => told.slice(0, 4))).toEqual([['fd00:9::5/128', resolver, 'example.com.', 'web']]);
  expect(seven?.map(([address, dns]) => [address, dns])).toEqual([['2001:db8::7/128', '2001:db8::53']]);
  expect(eight?.map(([address]) => address)).toEqual(['2001:db8:8::8/128']);
  for (const [domid, address] of [
    [5, 'fd00:9::5/128'],
    [7, '2001:db8::7/128'],
    [8, '2001:db8:8::8/128'],
  ] as const) {
    expect(await addressesOf(guest(domid))).toEqual([address]);
    await until(`a router of ${domid}`, async () => (await routersOf(guest(domid))).length > 0);
    expect(await routersOf(guest(domid))).toEqual(['fe80::1']);
    await until(`an answer to ${domid}`, () => reaches(guest(domid)));
  }
  expect(await resolves(guest(5), resolver)).toBe(true);
  expect(await resolves(guest(7), resolver)).toBe(false);
  expect(await routersOf(guest(6))).toEqual([]);
  // The gateway device is in the network of a guest, and is told nothing either.
  expect(await uplink.ip('-6 route show proto ra')).toBe('');
  expect(await addressesOf(guest(6))).toEqual([]);
});

test('a vif that comes or goes needs no restart of dnsmasq, and the server is the same one after a restart', async () => {
  const [before] = server();
  const ten = await plug(10, 'vif-nat', { ip: 'fd00:9::10' });
  const [[address, , , , first] = []] = await leased(ten);
  expect(address).toBe('fd00:9::10/128');
  await until('its router', async () => (await routersOf(ten)).length > 0);
  expect(await routersOf(ten)).toEqual(['fe80::1']);
  expect(server()).toEqual([before]);
  await ten.unplug();
  const [[still] = []] = await leased(guest(5));
  expect(still).toBe('fd00:9::5/128');
  expect(server()).toEqual([before]);
  // Another guest has another DUID, to which dnsmasq would not give what it has leased.
  const eleven = await plug(11, 'vif-nat', { ip: 'fd00:9::10' });
  await until('another server', () => server().length === 1 && server()[0] !== before, 5000);
  expect((await leased(eleven)).map(([given]) => given)).toEqual(['fd00:9::10/128']);
  await eleven.unplug();
  // Advertisements go on at every vif, also for guests that ask for none.
  const others = [5, 7, 8].map(guest);
  for (const vif of others) await vif.guestIp('-6 route delete default');
  process.kill(server()[0] as number, 'SIGKILL');
  for (const vif of others)
    await until(`the router of ${vif.name}`, async () => (await routersOf(vif)).length > 0, 10_000);
  const [[again, , , , second] = []] = await leased(guest(7));
  expect(again).toBe('2001:db8::7/128');
  expect(second).toBe(first);
  expect(await reaches(guest(5))).toBe(true);
});

test('a guest takes the MTU of its vif that dom0 gives, by advertisements and by DHCP, and others keep theirs', async () => {
  await until('the MTU of 5', async () => (await mtuAdvertised(guest(5))) === '1400');
  await until('the router of 7', async () => (await routersOf(guest(7))).length > 0);
  expect(await Promise.all([6, 7, 8, 9].map((domid) => mtuAdvertised(guest(domid))))).toEqual(
    Array(4).fill('1500'),
  );
  expect(await Promise.all([5, 6].map((domid) => mtuLeased(guest(domid))))).toEqual(['1400', '']);
});

/** What a guest finds of one of its vifs in xenstore; undefined where there is no such directory. */
const found = async (domid: number, devid = 0): Promise<Record<string, string> | undefined> => {
  const keys = await domnet.xenstore.readChildren(`/local/domain/${domid}/vifd/${devid}`);
  return keys && Object.fromEntries(keys);
};

test('a guest finds its addresses in xenstore where dom0 has made a directory for that, and they go with the vif', async () => {
  const { xenstore } = domnet;
  await domnet.addBridge('xenbr0');
  for (const domid of [11, 12, 13]) await xenstore.mkdir(`/local/domain/${domid}/vifd`);
  const [natted, , , , denied] = await Promise.all([
    plug(11, 'vif-nat', { ip: '10.9.0.11 fd00:9::11', mtu: '1400' }),
    domnet.plug({ domid: 11, devid: 1, keys: { script: 'vif-nat', bridge: undefined } }),
    plug(12, 'vif-route', { ip: '192.0.2.12/24 2001:db8::12' }),
    plug(13, 'vif-bridge', { bridge: 'xenbr0' }),
    plug(14, 'vif-nat'),
  ]);
  await until('the keys', async () => (await found(11, 1)) && (await found(12)));
  const ofTwelve = {
    ip: '192.0.2.12/24',
    ip6: '2001:db8::12/128',
    gateway: '192.0.2.1',
    gateway6: 'fe80::1',
    resolver: '192.0.2.53 2001:db8::53',
  };
  expect([await found(11), await found(11, 1), await found(12), await found(13)]).toEqual([
    {
      ip: '10.9.0.11/24',
      ip6: 'fd00:9::11/128',
      gateway: '10.9.0.138',
      gateway6: 'fe80::1',
      resolver: `10.9.0.138 ${resolver}`,
      mtu: '1400',
    },
    { ip: '10.0.11.2/16', gateway: '10.0.11.129', resolver: '10.0.11.129' },
    ofTwelve,
    undefined,
  ]);
  const { stdout } = await domnet.command('status', 'vif14.0');
  expect(stdout).toContain(
    'tell the guest of vif14.0 by /local/domain/14/vifd: dom0 has made no such directory',
  );
  expect(await xenstore.exists('/local/domain/14/vifd')).toBe(false);
  expect(await denied.read('hotplug-error')).toBeUndefined();

  // What a guest finds is enough, and it follows what dom0 changes; a directory that is made later is found.
  const script = `
ip address add "$1" dev eth0; ip address add "$2" dev eth0 nodad
ip route replace default via "$3" dev eth0 onlink; ip -6 route replace default via "$4" dev eth0`;
  const { ip, ip6, gateway, gateway6 } = ofTwelve;
  const inside = await domnet.guestNamespace(12);
  await exec('ip', ['netns', 'exec', inside, 'sh', '-e', '-c', script, 'sh', ip, ip6, gateway, gateway6]);
  for (const address of ['192.0.2.1', outside])
    await until(`an answer of ${address}`, () =>
      exec('ip', ['netns', 'exec', inside, 'ping', '-c', '1', '-W', '1', address]).then(
        () => true,
        () => false,
      ),
    );
  await natted.write({ ip: '10.9.0.21' });
  await until('the other address', async () => (await found(11))?.ip === '10.9.0.21/24');
  expect(await found(11)).not.toHaveProperty('ip6');
  await xenstore.mkdir('/local/domain/14/vifd');
  await until('the keys of 14', () => found(14), 20_000);

  await natted.unplug();
  await until('the keys to go', async () => (await found(11)) === undefined);
  expect(await found(11, 1)).toMatchObject({ ip: '10.0.11.2/16' });
  expect(await found(12)).toEqual(ofTwelve);
  // What dom0 takes away with the guest is not made again.
  await xenstore.rm('/local/domain/14/vifd');
  await denied.unplug();
  expect(await xenstore.exists('/local/domain/14/vifd')).toBe(false);
});

/** Asks for a router, and for addresses by DHCPv6, so often at once. */
const asks = (solicitations: number, requests: number): string => `
import socket
device = socket.if_nametoindex('eth0')
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
for _ in range(${solicitations}): raw.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), ('ff02::2', 0, 0, device))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::', 546))
for _ in range(${requests}): udp.sendto(bytes([1, 0, 0, 0]), ('ff02::1:2', 547, 0, device))`;

test('a guest that solicits routers and addresses without an end is counted, and others are served', async () => {
  const tooMany = async (domid: number): Promise<number | undefined> => {
    const { stdout } = await domnet.command('status', `vif${domid}.0`, '--json');
    return (JSON.parse(stdout) as { drops: Record<string, number> }).drops['too many requests'];
  };
  await guest(9).guestExec('python3', ['-c', asks(1000, 0)]);
  const solicited = await tooMany(9);
  expect(solicited).toBeGreaterThan(300);
  await guest(9).guestExec('python3', ['-c', asks(0, 1000)]);
  expect(await tooMany(9)).toBeGreaterThan(Number(solicited) + 300);
  for (const domid of [5, 6, 7, 8]) expect(await tooMany(domid)).toBe(0);
  expect(await resolves(guest(5), resolver)).toBe(true);
  expect((await leased(guest(7))).length).toBe(1);
});

/** What a guest sends as a router or as a DHCPv6 server would, and as another guest. */
const lies = `
import socket, struct
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
device = socket.if_nametoindex('eth0')
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
raw.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0xC0, 9000, 0, 0), ('ff02::1', 0, 0, device))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::', 547))
udp.sendto(b'\\x07lie', ('ff02::1', 546, 0, device))`;

test('a guest that lies has its own addresses alone, and leads no other astray', async () => {
  const liar = guest(9);
  const asFive = `${domnet.dir}/five.leases`;
  writeFileSync(asFive, 'default-duid "\\000\\003\\000\\001\\000\\026>\\000\\005\\000";\n');
  expect((await leased(liar, ['-lf', asFive])).map(([address]) => address)).toEqual(['fd00:9::9/128']);
  await until('an answer to the liar', () => reaches(liar));

  await liar.guestExec('python3', ['-c', lies]);
  await liar.guestIp('address add fd00:9::5/128 dev eth0 nodad');
  const from = ['-c', '1', '-W', '1', '-I', 'fd00:9::5', outside];
  await expect(liar.guestExec('ping', from)).rejects.toThrow();
  const { stdout } = await domnet.command('status', 'vif9.0');
  for (const reason of ['router advertisement or redirect', 'DHCP server', 'IPv6 source'])
    expect(stdout).toContain(reason);
  expect(await domnet.ip('-6 route show default')).not.toContain('vif9.0');
  for (const domid of [5, 7, 8]) expect(await routersOf(guest(domid))).toEqual(['fe80::1']);

  await liar.guestIp('address flush dev eth0');
  await liar.guestIp('link set dev eth0 down');
  await liar.guestIp('link set dev eth0 address 00:16:3e:00:05:00 up');
  const client = await dhclient(liar);
  const asked = (): number => client.lines.filter((line) => line.includes('Forming Solicit')).length;
  await until('solicitations', () => asked() > 1, 10_000);
  expect(client.lines.filter((line) => /^BOUND6|Advertise message/.test(line))).toEqual([]);
  expect(await addressesOf(guest(5))).toEqual(['fd00:9::5/128']);
  expect(await reaches(guest(5))).toBe(true);
});
