import { chmodSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { reaches } from '../../support/net/guests.js';
import { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// Guests of a small network, and routed ones, which are told by DHCP what they are.

let domnet: Domnet;
let internet: Outside;
let script: string;
let vifd: Vifd;
const guests = new Map<number, { vif: Vif; told: Record<string, string> }>();

const config = `[nat]
network = "192.168.77.0/24"
dhcp = "dnsmasq"
[route]
dhcp = "dnsmasq"
ntp = ["203.0.113.9"]
domain = "example.com"
[[vif]]
mac = "00:16:3e:00:77:06"
hostname = "web"
[[vif]]
mac = "00:16:3e:00:77:08"
hostname = "mail"
`;
const resolvers = ['198.51.100.53', '198.51.100.54'] as const;
/** What is mounted over /etc/resolv.conf. */
const resolvConf = (): string => `${domnet.dir}/resolv.conf`;

beforeAll(async () => {
  domnet = await Domnet.start();
  chmodSync(domnet.dir, 0o755);
  writeFileSync(resolvConf(), '', { mode: 0o644 });
  await exec('mount', ['--bind', resolvConf(), '/etc/resolv.conf']);
  domnet.atEnd(() => exec('umount', ['/etc/resolv.conf']));
  internet = await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['203.0.113.1/24'],
    peer: ['203.0.113.9/24', ...resolvers.map((address) => `${address}/32`)],
  });
  await domnet.ip('route add default via 203.0.113.9');
  for (const [i, address] of resolvers.entries()) {
    const server = new Background('ip', [
      ...['netns', 'exec', internet.namespace, 'dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null'],
      ...['--no-hosts', '--no-resolv', '--bind-interfaces', '--pid-file=', `--listen-address=${address}`],
      `--address=/test.example/192.0.2.${53 + i}`,
      // Nothing is there, so that these names are never answered.
      ...['--server=/slow.example/203.0.113.99', '--dns-forward-max=5000'],
    ]);
    domnet.atEnd(() => server.stop('SIGTERM'));
  }
  script = `${domnet.dir}/udhcpc`;
  writeFileSync(
    script,
    `#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace "$ip/$mask" dev "$interface"
set -- \${staticroutes:-0.0.0.0/0 $router}
echo "ip=$ip mask=$mask router=$router dns=$dns hostname=$hostname domain=$domain ntp=$ntpsrv mtu=$mtu routes=$(echo $* | tr ' ' ,)"
while [ $# -gt 1 ]; do
  if [ $2 = 0.0.0.0 ]; then ip route replace $1 dev "$interface"; else ip route replace $1 via $2; fi
  shift 2
done
`,
    { mode: 0o755 },
  );
  vifd = await domnet.vifd({ config });
  await Promise.all([5, 6, 7].map((domid) => start(domid, domid)));
}, 30_000);
afterAll(() => domnet.stop());

const macOf = (guest: number): string => `00:16:3e:00:77:0${guest}`;

/** Starts a guest as a domain, and its DHCP client. */
async function start(guest: number, domid: number, keys: Record<string, string> = {}): Promise<void> {
  const vif = await domnet.plug({
    domid,
    keys: { script: 'vif-nat', bridge: undefined, mac: macOf(guest), ...keys },
  });
  await vif.connected();
  const client = ['udhcpc', '-i', 'eth0', '-f', '-q', '-n', '-t', '20', '-T', '1', '-s', script];
  const wanted = ['hostname', 'domain', 'ntpsrv', 'mtu', 'staticroutes'];
  // A name that the guest claims for itself.
  client.push(...wanted.flatMap((name) => ['-O', name]), '-x', 'hostname:wpad');
  const said = await vif.guestExec('busybox', client);
  guests.set(guest, {
    vif,
    told: Object.fromEntries([...said.matchAll(/(\w+)=(\S*)/g)].map(([, key, value]) => [key, value])),
  });
}

const guest = (number: number): { vif: Vif; told: Record<string, string> } => {
  const found = guests.get(number);
  if (found === undefined) throw new Error(`there is no guest ${number}`);
  return found;
};

/** What a guest's resolver says that test.example is. */
const asked = (number: number, name = 'test.example'): Promise<string> =>
  guest(number)
    .vif.guestExec('sh', [
      '-c',
      // It fails where there is no IPv6 address besides.
      `timeout 2 busybox nslookup ${name} ${guest(number).told.dns} || :`,
    ])
    .then((said) => new RegExp(`Name:\\s+${name}\\s+Address(?: 1)?:\\s+(\\S+)`).exec(said)?.[1] ?? '');

/** Each reaches the others, and what is outside. */
async function allReachAll(): Promise<void> {
  for (const { vif, told } of guests.values()) {
    await reaches(vif, '203.0.113.9');
    for (const other of guests.values())
      if (other.told.ip !== told.ip) await reaches(vif, other.told.ip ?? '');
  }
}

test('each has an address of its own, and keeps it when the daemon or the guest is started anew', async () => {
  const addresses = [...guests.values()].map(({ told }) => told.ip);
  expect(new Set(addresses).size).toBe(3);
  expect(guest(6).told.hostname).toBe('web');
  // What a guest says that it is called is no name to others.
  expect(await asked(5, 'wpad')).toBe('');
  for (const { told } of guests.values()) expect(told).toMatchObject({ mask: '24', router: '192.168.77.1' });
  await allReachAll();

  const before = await domnet.ip('route show proto 120');
  await vifd.kill();
  vifd = await domnet.vifd({ config: `${config}[log]\nlevel = "debug"\n` });
  // dnsmasq puts entries of its own in the place of the permanent ones when it answers.
  const changes = vifd.log.filter(({ msg }) => msg === 'host change').map(({ action }) => `${action}`);
  expect(changes.filter((action) => !action.startsWith('ip neighbour replace'))).toEqual([]);
  expect(await domnet.ip('route show proto 120')).toBe(before);

  const was = guest(5).told.ip;
  await guest(5).vif.unplug();
  await start(5, 15);
  expect(guest(5).told.ip).toBe(was);
  await allReachAll();
});

test('the resolvers of the machine are followed, and guests need no new lease for it', async () => {
  for (const { told } of guests.values()) expect(told.dns).toBe(told.router);
  expect(await asked(5)).toBe('');
  for (const [i, address] of resolvers.entries()) {
    writeFileSync(resolvConf(), `nameserver ${address}\n`);
    for (const number of guests.keys())
      await until(`the answer of ${address}`, async () => (await asked(number)) === `192.0.2.${53 + i}`);
  }
});

/** What a resolver says by TCP that test.example is. */
const askedByTcp = (number: number): Promise<string> =>
  guest(number).vif.guestExec('python3', [
    '-c',
    `${query}
to = socket.create_connection(('${guest(number).told.dns}', 53), 2)
asked = named(1, 'test')
to.sendall(struct.pack('>H', len(asked)) + asked)
to.settimeout(2)
print(socket.inet_ntoa(to.recv(512)[-4:]), end='')`,
  ]);

const query = `import socket, struct, time
def named(id, *parts):
    name = b''.join(bytes([len(part)]) + part.encode() for part in (*parts, 'example'))
    return struct.pack('>6H', id, 256, 1, 0, 0, 0) + name + bytes([0, 0, 1, 0, 1])`;

/** The address that a guest is leased when it asks again. */
const leased = async (number: number): Promise<string | undefined> => {
  const client = ['udhcpc', '-i', 'eth0', '-f', '-q', '-n', '-t', '2', '-T', '1', '-s', script];
  return /ip=(\S*)/.exec(await guest(number).vif.guestExec('busybox', client))?.[1];
};

/** What each guest's vif had dropped because it asked too much. */
async function tooMany(): Promise<Record<string, number>> {
  const { stdout } = await domnet.command('status', '--json');
  const { vifs } = JSON.parse(stdout) as { vifs: { vif: string; drops: Record<string, number> }[] };
  return Object.fromEntries(vifs.map(({ vif, drops }) => [vif, drops['too many requests'] ?? -1]));
}

test('a guest that floods the resolver takes it from no other, and is counted', async () => {
  const { vif, told } = guest(5);
  expect(await tooMany()).toEqual({ 'vif15.0': 0, 'vif6.0': 0, 'vif7.0': 0 });
  const flood = new Background('ip', [
    ...['netns', 'exec', await domnet.guestNamespace(vif.domid), 'python3', '-uc'],
    `${query}
connections = [socket.socket() for _ in range(30)]
for one in connections:
    one.setblocking(False)
    one.connect_ex(('${told.dns}', 53))
def connected(one):
    try: return one.getpeername() is not None
    except OSError: return False
time.sleep(0.3)
print(sum(map(connected, connections)))
to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(1000000):
    to.sendto(named(i % 65536, str(i), 'slow'), ('${told.dns}', 53))
    if i == 2000: print('floods')
    if i % 20 == 0: time.sleep(0.005)`,
  ]);
  try {
    await until('the flood', async () => flood.lines.includes('floods'));
    expect(flood.lines[0]).toBe('4');
    for (let i = 0; i < 3; i++)
      for (const other of [6, 7]) {
        expect(await asked(other)).toBe('192.0.2.54');
        expect(await askedByTcp(other)).toBe('192.0.2.54');
        expect(await leased(other)).toBe(guest(other).told.ip);
      }
  } finally {
    await flood.stop('SIGKILL');
  }
  const { 'vif15.0': own, ...others } = await tooMany();
  expect(own).toBeGreaterThan(1000);
  expect(others).toEqual({ 'vif6.0': 0, 'vif7.0': 0 });
  const { stdout } = await domnet.command('status', vif.name);
  expect(stdout).toContain('for too many requests:');
  await until('its own names', async () => (await asked(5)) === '192.0.2.54');
  expect(await askedByTcp(5)).toBe('192.0.2.54');
  expect(await leased(5)).toBe(told.ip);
});

test('a daemon that finds rules without these limits has them for guests that are up', async () => {
  const listed = async (): Promise<string[]> => {
    const names = ['served', 'limit_requests', 'request_drops'];
    const lists = names.map((name) => domnet.exec('nft', ['list', 'set', 'inet', 'vifd', name]));
    const elements = /"vif[^,}]*?(?: limit rate over [^,}]*?)?(?= counter| comment)/g;
    return (await Promise.all(lists)).flatMap((text) => text.match(elements) ?? []).sort();
  };
  const before = await listed();
  expect(before.filter((element) => element.includes('limit'))).toHaveLength(3);
  await vifd.kill();
  const chains = ['requests', 'new_connection', 'too_many'];
  const sets = ['served', 'limit_requests', 'connections', 'request_drops'];
  await domnet.exec('nft', [
    [
      ...['to_this_machine', ...chains].map((name) => `flush chain inet vifd ${name}`),
      ...chains.map((name) => `delete chain inet vifd ${name}`),
      ...sets.map((name) => `delete set inet vifd ${name}`),
    ].join('; '),
  ]);
  vifd = await domnet.vifd({ config });
  await until('the limits', async () => {
    const now = await listed().catch(() => []);
    return now.join() === before.join();
  });
  for (const number of guests.keys())
    await until('an answer', async () => (await asked(number)) === '192.0.2.54');
});

test('routed guests are told their addresses, their router, and the resolvers of the machine', async () => {
  const keys = { script: 'vif-route', gatewaydev: 'eth0' };
  await start(8, 28, { ...keys, ip: '203.0.113.28', mtu: '1400' });
  await start(9, 29, { ...keys, ip: '203.0.113.29/24' });
  const router = '203.0.113.1';
  const common = { router, dns: resolvers[1], domain: 'example.com', ntp: '203.0.113.9' };
  expect(guest(8).told).toEqual({
    ...{ ...common, ip: '203.0.113.28', mask: '32', hostname: 'mail', mtu: '1400' },
    routes: `${router}/32,0.0.0.0,0.0.0.0/0,${router}`,
  });
  expect(guest(9).told).toEqual({
    ...{ ...common, ip: '203.0.113.29', mask: '24', hostname: '', mtu: '', routes: `0.0.0.0/0,${router}` },
  });
  await allReachAll();
  for (const number of [8, 9]) expect(await asked(number)).toBe('192.0.2.54');
  // Nothing of this is for the network outside, where the router's address is as well.
  const script = ['-s', '/bin/true'];
  const outside = ['udhcpc', '-i', 'lan0', '-f', '-q', '-n', '-t', '1', '-T', '1', ...script];
  await expect(internet.exec('busybox', outside)).rejects.toThrow(/no lease/);
  // By its own vif a guest is answered for itself alone, and it sends for no other.
  const [one, other] = [guest(8).vif, guest(9).vif];
  await one.guestIp(`link set eth0 address ${macOf(9)}`);
  await expect(one.guestExec('busybox', ['udhcpc', '-i', 'eth0', ...outside.slice(3)])).rejects.toThrow(
    /no lease/,
  );
  await one.guestIp(`link set eth0 address ${macOf(8)}`);
  await reaches(other, '203.0.113.9');
  await allReachAll();
  for (const number of [8, 9]) {
    await guest(number).vif.unplug();
    guests.delete(number);
  }
});

test('an address that the domain itself needs is refused, with the reason, and other guests go on', async () => {
  const keys = (ip: string) => ({ script: 'vif-nat', bridge: undefined, ip });
  const router = await domnet.plug({ domid: 21, keys: keys('203.0.113.9/24') });
  const resolver = await domnet.plug({ domid: 22, keys: keys(`${resolvers[1]}/24`) });
  const routed = await domnet.plug({
    domid: 23,
    keys: { script: 'vif-route', bridge: undefined, ip: '203.0.113.9' },
  });
  for (const vif of [router, resolver, routed]) await vif.status('error');
  expect(await router.read('hotplug-error')).toBe(
    'give vif21.0 the address 203.0.113.9: it is the next hop of a route by eth0, which could no longer be reached; give the guest another',
  );
  expect(await resolver.read('hotplug-error')).toContain('it is a resolver of this domain');
  expect(await routed.read('hotplug-error')).toContain('it is the next hop of a route by eth0');
  await allReachAll();
  await routed.unplug();
  // The next hop is another now.
  await internet.ip('address add 203.0.113.8/24 dev lan0');
  await domnet.ip('route replace default via 203.0.113.8');
  await router.connected();
  for (const vif of [router, resolver]) await vif.unplug();
  await domnet.ip('route replace default via 203.0.113.9');
});

test('IPv6 between guests that are told to be in one network', async () => {
  const plug = async (domid: number, kind: 'nat' | 'route', ip: string): Promise<Vif> => {
    const vif = await domnet.plug({ domid, keys: { script: `vif-${kind}`, bridge: undefined, ip } });
    await vif.connected();
    for (const address of ip.split(' ').filter((each) => each.includes(':')))
      await vif.guestIp(`address add ${address} dev eth0 nodad`);
    return vif;
  };
  const five = await plug(31, 'nat', '10.9.0.5/24 fd00::5/64');
  const six = await plug(32, 'nat', '10.9.0.6/24 fd00::6/64');
  await reaches(five, 'fd00::6');
  await reaches(six, 'fd00::5');
  const seven = await plug(33, 'route', '203.0.113.7 fd00::7/64');
  await reaches(seven, 'fd00::5');
  await reaches(five, 'fd00::7');
  // A link that was down has lost its entries.
  await domnet.ip('link set vif31.0 down');
  await until('it to be up', async () => (await domnet.link('vif31.0'))?.flags.includes('UP'));
  await five.guestIp('neighbour flush dev eth0');
  await reaches(five, 'fd00::6');
  await six.unplug();
  await until(
    'the entries of the one that went to go',
    async () => !(await domnet.ip('-6 neighbour show proxy')).includes('fd00::6'),
  );
  await reaches(seven, 'fd00::5');
  for (const vif of [five, seven]) await vif.unplug();
  expect(await domnet.ip('-6 neighbour show proxy')).toBe('');
});

test('where IPv6 is switched off a guest has its IPv4, and what it lacks is said', async () => {
  await domnet.exec('sysctl', ['-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  const plug = async (domid: number, kind: 'nat' | 'route', ip: string): Promise<Vif> => {
    const vif = await domnet.plug({ domid, keys: { script: `vif-${kind}`, bridge: undefined, ip } });
    await vif.connected();
    return vif;
  };
  const translated = await plug(41, 'nat', '10.9.0.5/24 fd00::5/64');
  const routed = await plug(42, 'route', '203.0.113.7 2001:db8::7');
  await translated.guestIp('address add 10.9.0.5/24 dev eth0');
  await translated.guestIp('route add default via 10.9.0.132');
  await routed.guestIp('address add 203.0.113.7/32 dev eth0');
  await routed.guestIp('route add 203.0.113.1 dev eth0');
  await routed.guestIp('route add default via 203.0.113.1');
  for (const vif of [translated, routed]) await reaches(vif, '203.0.113.9');
  await reaches(translated, '203.0.113.7');
  const { stdout } = await domnet.command('status', '--json');
  const { vifs } = JSON.parse(stdout) as { vifs: { vif: string; missing: unknown }[] };
  for (const { name } of [translated, routed])
    expect(JSON.stringify(vifs.find(({ vif }) => vif === name)?.missing)).toContain('IPv6 is switched off');
});
