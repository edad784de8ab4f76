import { chmodSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { openTables } from '../../support/net/open-tables.js';
import { Outside } from '../../support/net/outside.js';
import { expectedFrames } from '../../support/packets/expected-frames.js';
import { attempts, lastOne } from '../../support/packets/forgeries.js';
import { ethernet, etherTypes, ipv4, ipv6, udp } from '../../support/packets/frames.js';
import { Capture, send } from '../../support/packets/packets.js';
import { hostsKey, ipKey } from '../../support/packets/parties.js';
import { signature } from '../../support/packets/signature.js';
import { Background } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

// The attacker is guest 1, another guest is 2, and behind the uplink is the outside.
const macOf = (domid: number): string => `00:16:3e:00:0${domid}:00`;
const router = 'fe:ff:ff:ff:ff:ff';
const outer = { address: '192.0.2.9', address6: '2001:db8:ffff::9' };

let domnet: Domnet;
let outside: Outside;
beforeEach(async () => {
  domnet = await Domnet.start();
  // The kernel's own check of sources must not do the filter's work.
  await domnet.exec('sysctl', ['-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0']);
  outside = await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['192.0.2.1/24', '2001:db8:ffff::1/64'],
    peer: [`${outer.address}/24`, `${outer.address6}/64`],
  });
  await domnet.ip(`route add default via ${outer.address}`);
  await domnet.ip(`-6 route add default via ${outer.address6}`);
  await outside.ip('route add 10.0.0.0/16 via 192.0.2.1');
  await outside.ip('-6 route add 2001:db8::/47 via 2001:db8:ffff::1');
});
afterEach(() => domnet.stop());

const plug = async (script: string, domid: number, keys: Record<string, string> = {}): Promise<Vif> => {
  const vif = await domnet.plug({ domid, keys: { script, bridge: undefined, ...keys } });
  await vif.connected();
  return vif;
};

/** The address the guest's router has on its vif. */
async function routerOf(vif: Vif): Promise<string> {
  const { addr_info = [] } = (await domnet.link(vif.name)) ?? {};
  return addr_info.find(({ family }) => family === 'inet')?.local ?? '';
}

/** The guest's own stack, as its administrator would have it. */
async function configure(vif: Vif): Promise<void> {
  const gateway = await routerOf(vif);
  await vif.guestIp(`address add 10.0.0.${vif.domid}/32 dev eth0`);
  await vif.guestIp(`route add ${gateway} dev eth0`);
  await vif.guestIp(`route add default via ${gateway}`);
  await vif.guestIp(`address add 2001:db8::${vif.domid}/128 dev eth0 nodad`);
  await vif.guestIp('route add default via fe80::1 dev eth0');
}

async function twoGuests(script: string): Promise<[Vif, Vif]> {
  const one = await plug(script, 1, { ip: script === 'vif-nat' ? hostsKey : ipKey });
  const two = await plug(script, 2, { ip: '10.0.0.2 2001:db8::2' });
  for (const vif of [one, two]) await configure(vif);
  return [one, two];
}

/** Every frame of a vif that its filter lets through to the driver domain, and nothing else, as a capture. */
async function throughFilter(vif: Vif): Promise<Capture> {
  const spy = await domnet.guestNamespace(61_000);
  if ((await domnet.link('spy')) === undefined) {
    await domnet.ip(`link add spy up type veth peer name eth0 netns ${spy}`);
    await domnet.exec('ip', ['-n', spy, 'link', 'set', 'eth0', 'up']);
    const hook = `{ type filter hook ingress device "${vif.name}" priority 0; }`;
    await domnet.exec('nft', [
      `add table netdev spy; add chain netdev spy in ${hook}; add rule netdev spy in dup to "spy"`,
    ]);
  }
  return await Capture.start(spy, 'eth0');
}

/** Where each of all that guest 1 can try arrives, towards the other guest and towards the outside. */
async function arrivals(attacker: Vif): Promise<{ what: string; honest: boolean; at: string }[]> {
  // What waits for a neighbour's answer would come after the last one.
  for (const target of [outer.address, outer.address6]) {
    await domnet.exec('ping', ['-c', '1', '-W', '5', target]);
  }
  const places = new Map<string, Set<string>>();
  const rows = attempts({ from: macOf(1), to: router });
  const targets = [
    { name: 'guest', namespace: await domnet.guestNamespace(2), device: 'eth0', of: {} },
    {
      name: 'outside',
      namespace: outside.namespace,
      device: 'lan0',
      of: { other: outer.address, other6: outer.address6 },
    },
  ];
  for (const { name, namespace, device, of } of targets) {
    const parties = { from: macOf(1), to: router, ...of };
    const frames = attempts(parties);
    const [inside, there] = await Promise.all([throughFilter(attacker), Capture.start(namespace, device)]);
    const last = lastOne(parties);
    await send(await domnet.guestNamespace(1), 'eth0', [...frames.map(({ frame }) => frame), last]);
    await inside.arrival(last);
    const signatures = (): Set<string> => new Set(there.frames.map(signature));
    await until('the last one', () => signatures().has(signature(last.toString('hex'))));
    await Promise.all([inside.stop(), there.stop()]);
    const seen = signatures();
    for (const { what, frame } of frames) {
      const at = places.get(what) ?? new Set();
      if (inside.saw(frame)) at.add('domain');
      if (seen.has(signature(frame.toString('hex')))) at.add(name);
      places.set(what, at);
    }
  }
  return rows.map(({ what, honest }) => ({
    what,
    honest,
    at: [...(places.get(what) ?? [])].sort().join(', ') || 'dropped',
  }));
}

const reaches = (vif: Vif, target: string): Promise<boolean> =>
  vif.guestExec('ping', ['-c', '1', '-W', '1', target]).then(
    () => true,
    () => false,
  );

describe.each(['vif-route', 'vif-nat'] as const)('%s', (script) => {
  it('lets through what is honest and nothing else, as docs/operate/security.md says', async () => {
    await domnet.vifd();
    const [one] = await twoGuests(script);
    const seen = await arrivals(one);
    expect(seen.filter(({ honest, at }) => honest === (at === 'dropped'))).toEqual([]);
    expect([...expectedFrames(script)]).toEqual(seen.map(({ what, at }) => [what, at]));
  });

  it('lets everything in when it is off, so the frames are such that they could arrive', async () => {
    await domnet.vifd({ config: '[antispoof]\nmode = "off"\n' });
    const [one] = await twoGuests(script);
    const seen = new Map((await arrivals(one)).map(({ what, at }) => [what, at]));
    expect([...seen].filter(([, at]) => !at.includes('domain'))).toEqual([]);
    for (const what of ["IPv4 from another's address", "IPv6 from another's address"]) {
      expect([what, seen.get(what)]).toEqual([what, 'domain, guest, outside']);
    }
  });

  it.each(['auto', 'strict'])('does not get into the way of what is honest (%s)', async (mode) => {
    await domnet.vifd({ config: `[antispoof]\nmode = "${mode}"\n` });
    const [one, two] = await twoGuests(script);
    for (const target of [outer.address, outer.address6, '10.0.0.2', '2001:db8::2', await routerOf(one)]) {
      await until(`an answer from ${target}`, () => reaches(one, target));
    }
    expect(await reaches(two, '10.0.0.1')).toBe(true);
    expect(await reaches(two, '2001:db8::1')).toBe(true);
    await domnet.exec('ping', ['-c', '1', '-W', '5', '10.0.0.1']);
  });

  it("takes a guest's address from its own vif only", async () => {
    const config = (mode: string) => ({ config: `[antispoof]\nmode = "${mode}"\n` });
    const off = await domnet.vifd(config('off'));
    await twoGuests(script);
    // One whose ip is empty: a routed one is not held by mode auto, and yet cannot be guest 1.
    await plug(script, 3);
    const uplink = (await domnet.link('eth0'))?.address ?? '';
    const [lan] = JSON.parse(await outside.exec('ip', ['-j', 'link', 'show', 'lan0']));
    const from = [
      { namespace: await domnet.guestNamespace(2), device: 'eth0', mac: macOf(2), to: router },
      { namespace: await domnet.guestNamespace(3), device: 'eth0', mac: macOf(3), to: router },
      { namespace: outside.namespace, device: 'lan0', mac: lan.address, to: uplink },
    ];
    // To the third guest from the other places, to the second from there; and to the driver domain itself.
    const packet = (source: string, target: string, mark: string): [number, Buffer] =>
      source.includes(':')
        ? [etherTypes.ip6, ipv6({ from: source, to: target, next: 17 }, udp(7, 9, Buffer.from(mark)))]
        : [etherTypes.ip, ipv4({ from: source, to: target, protocol: 17 }, udp(7, 9, Buffer.from(mark)))];
    await domnet.exec('nft', [
      'add table inet tap; add chain inet tap in { type filter hook prerouting priority 0; }; add rule inet tap in udp dport 9 ip saddr 10.0.0.1 counter; add rule inet tap in udp dport 9 ip6 saddr 2001:db8::1 counter; add rule inet tap in udp dport 9 ip saddr 192.0.2.9 counter',
    ]);
    const counted = async (): Promise<number[]> =>
      [...(await domnet.exec('nft', ['list', 'table', 'inet', 'tap'])).matchAll(/packets (\d+)/g)].map(
        ([, count]) => Number(count),
      );
    const tryAll = async (): Promise<void> => {
      for (const { namespace, device, mac, to } of from) {
        const frames = ['10.0.0.1', '2001:db8::1'].flatMap((source) =>
          (source.includes(':') ? ['2001:db8::2', '2001:db8:ffff::1'] : ['10.0.0.2', '192.0.2.1']).map(
            (target) => ethernet(to, mac, ...packet(source, target, 'forged')),
          ),
        );
        await send(namespace, device, frames);
      }
      const honest = ethernet(uplink, lan.address, ...packet(outer.address, '10.0.0.2', 'honest'));
      const [, , before = 0] = await counted();
      await send(outside.namespace, 'lan0', [honest]);
      await until('the honest one', async () => ((await counted())[2] ?? 0) > before);
    };
    await tryAll();
    expect(await counted()).toEqual([6, 6, 1]);
    await off.terminate();
    await domnet.vifd(config('auto'));
    await until('the filters', async () =>
      /elements = \{[^}]*vif1\.0/.test(await domnet.exec('nft', ['list', 'table', 'inet', 'vifd'])),
    );
    await tryAll();
    expect(await counted()).toEqual([6, 6, 2]);
  });

  it('keeps a guest off the driver domain', async () => {
    const off = await domnet.vifd({ config: '[antispoof]\nmode = "off"\n' });
    const [one, two] = await twoGuests(script);
    const listen = `
import os, socket, threading
# One write a line: what two threads print may mingle.
def say(line): os.write(1, (line + '\\n').encode())
def tcp(server):
    while True: server.accept()[0].close()
def udp(server):
    while True: say('datagram ' + server.recv(99).decode())
def bound(family, address):
    server = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6: server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, 8000))
    return server
for family, address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
    for serve, server in ((tcp, socket.create_server((address, 8000), family=family)), (udp, bound(family, address))):
        threading.Thread(target=serve, args=(server,)).start()
say('listening')`;
    const server = new Background('ip', ['netns', 'exec', domnet.namespace, 'python3', '-c', listen]);
    try {
      await until('the server', () => server.lines.includes('listening'));
      // On vif-route the first three are one.
      const of = [await routerOf(one), await routerOf(two), '192.0.2.1', '2001:db8:ffff::1', 'fe80::1%eth0'];
      const targets = [...new Set(of)];
      let round = 0;
      const reached = async (): Promise<string[]> => {
        round++;
        const ask = `
import socket, sys
mark, *targets = sys.argv[1:]
for target in targets:
    family, _, _, _, address = socket.getaddrinfo(target, 8000, type=socket.SOCK_DGRAM)[0]
    socket.socket(family, socket.SOCK_DGRAM).sendto((mark + target).encode(), address)
    try:
        socket.create_connection((target, 8000), 0.5)
        print('tcp', target)
    except OSError: pass`;
        const said = await one.guestExec('python3', ['-c', ask, `${round} `, ...targets]);
        // Both sockets have answered for all that came before.
        const marks = ['127.0.0.1', '::1'].map((self) => `datagram ${round} ${self}`);
        await domnet.exec('python3', ['-c', ask, `${round} `, '127.0.0.1', '::1']);
        await until('the marks', () => marks.every((mark) => server.lines.includes(mark)));
        const datagrams = server.lines.filter(
          (line) => line.startsWith(`datagram ${round} `) && !marks.includes(line),
        );
        return [
          ...said.trim().split('\n'),
          ...datagrams.map((line) => line.replace(/^datagram \d+/, 'udp')),
        ].filter((line) => line !== '');
      };
      const everything = targets.flatMap((target) => [`tcp ${target}`, `udp ${target}`]);
      expect((await reached()).sort()).toEqual(everything.sort());
      await off.terminate();
      await domnet.vifd();
      await until('the filters', async () =>
        /elements = \{[^}]*vif1\.0/.test(await domnet.exec('nft', ['list', 'table', 'inet', 'vifd'])),
      );
      expect(await reached()).toEqual([]);
      for (const target of ['192.0.2.1', 'fe80::1%eth0']) expect(await reaches(one, target)).toBe(true);
    } finally {
      await server.stop('SIGKILL');
    }
  });
});

it.each(['delete table inet vifd', 'flush set inet vifd routed', 'flush chain inet vifd from_anywhere'])(
  'has what it needs of the router back after: nft %s',
  async (command) => {
    await openTables(domnet, 'inet vifd');
    const daemon = await domnet.vifd();
    await plug('vif-route', 1, { ip: ipKey });
    // By element and by rule, in the order nft prints them.
    const router = async (): Promise<string> =>
      (await domnet.exec('nft', ['list', 'table', 'inet', 'vifd']).catch(() => '')).replace(
        /packets \d+ bytes \d+| # progname.*|\tflags.*\n\n?/g,
        '',
      );
    const before = await router();
    expect(before).toMatch(/set routed [^}]*elements = [^}]*vif1\.0/);
    await domnet.exec('nft', [command]);
    await until('all of it', async () => (await router()) === before);
    await daemon.logged('vif repaired', 'vif1.0');
  },
);

it('lets a guest of [nat] have its lease', async () => {
  chmodSync(domnet.dir, 0o755);
  await domnet.vifd({ config: '[nat]\ndhcp = "dnsmasq"\n[antispoof]\nmode = "strict"\n' });
  const vif = await plug('vif-nat', 5);
  const client = ['udhcpc', '-i', 'eth0', '-f', '-q', '-n', '-t', '20', '-T', '1', '-s', '/bin/true'];
  await vif.guestExec('busybox', client);
});
