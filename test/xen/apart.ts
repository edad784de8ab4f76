import { ethernet, etherTypes, ipv4, ipv6, udp } from '../support/packets/frames.js';
import { hostsKey, ipKey } from '../support/packets/parties.js';
import { Capture } from './capture.js';
import { attacker, forgeRouted, send } from './forging.js';
import type { Guest } from './guest.js';
import { type DualStack, dualStack, nat, outer, routed, withSetup } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios about what a driver domain opens that forwards for its guests: where packets go that come in by a guest, by
 * the uplink and by a network for management; what guests reach of the domain itself; which addresses they may have.
 */
const management = { address: '198.51.100.9', address6: '2001:db8:aaaa::9' };
const first = { address: '10.0.0.1', address6: '2001:db8::1' };
const second = { address: '10.0.0.2', address6: '2001:db8::2' };
type Party = typeof outer;

/** A packet that is tried, found again by its payload, which nothing on its way changes. */
interface Try {
  readonly what: string;
  readonly frame: Buffer;
  readonly mark: string;
}

let tried = 0;
/** A datagram of each family, from one to another, in frames between these MACs. */
function datagrams(what: string, [from, mac]: [Party, string], to: Party, router: string): Try[] {
  return ([4, 6] as const).map((family) => {
    const payload = Buffer.from(`mark${String(++tried).padStart(5, '0')}`);
    const packet =
      family === 4
        ? ipv4({ from: from.address, to: to.address, protocol: 17, id: tried }, udp(7, 4000, payload))
        : ipv6({ from: from.address6, to: to.address6, next: 17 }, udp(7, 4000, payload));
    const type = family === 4 ? etherTypes.ip : etherTypes.ip6;
    return {
      what: `${what} by IPv${family}`,
      frame: ethernet(router, mac, type, packet),
      mark: payload.toString('hex'),
    };
  });
}

const router = 'fe:ff:ff:ff:ff:ff';

/** Sends frames in a namespace of domnet, and returns when domnet has taken them. */
async function sendFrom(
  host: XenHost,
  namespace: string,
  tries: readonly Try[],
  target: string,
): Promise<void> {
  const lines = tries.map(({ frame }) => frame.toString('hex')).join('\n');
  await host.domnet(
    `ip netns exec ${namespace} python3 /root/packets.py send eth0 <<END\n${lines}\nEND\nip netns exec ${namespace} ping -q -c 1 -W 5 ${target}`,
  );
}

/** Expects that packets arrive on these ways and on no other of all there are. */
async function ways(host: XenHost, one: Guest, two: Guest, inward: boolean): Promise<number> {
  const mac = async (namespace: string) =>
    (await host.domnet(`ip netns exec ${namespace} cat /sys/class/net/eth0/address`)).trim();
  const own = async (device: string) => (await host.domnet(`cat /sys/class/net/${device}/address`)).trim();
  const [out, mg, wan0, mg0] = [await mac('out'), await mac('mg'), await own('wan0'), await own('mg0')];
  const fromGuest = {
    out: datagrams('from the guest to the outside', [first, attacker], outer, router),
    beside: datagrams('from the guest to another', [first, attacker], second, router),
    mg: datagrams('from the guest to management', [first, attacker], management, router),
  };
  const fromOut = {
    mg: datagrams('from outside to management', [outer, out], management, wan0),
    guest: datagrams('from outside to the guest', [outer, out], first, wan0),
  };
  const fromMg = {
    out: datagrams('from management to the outside', [management, mg], outer, mg0),
    guest: datagrams('from management to the guest', [management, mg], first, mg0),
  };
  const captures = [
    await Capture.start(host, 'out', 'eth0'),
    await Capture.start(host, 'mg', 'eth0'),
    await Capture.forGuest(host, one.netdev(0)),
    await Capture.forGuest(host, two.netdev(0)),
  ];
  const came = ({ mark }: Try) => captures.some(({ frames }) => frames.some((hex) => hex.includes(mark)));
  const right = [...fromGuest.out, ...fromGuest.beside, ...(inward ? fromOut.guest : [])];
  const all = [fromGuest, fromOut, fromMg].flatMap((places) => Object.values(places).flat());
  try {
    await sendFrom(host, 'out', [...fromOut.mg, ...fromOut.guest], '192.0.2.1');
    await sendFrom(host, 'mg', [...fromMg.out, ...fromMg.guest], '198.51.100.1');
    await send(
      one,
      [...fromGuest.mg, ...fromGuest.beside, ...fromGuest.out].map(({ frame }) => frame),
    );
    await host.until('what has to arrive', () => right.every(came)).catch(() => undefined);
  } finally {
    for (const capture of captures) capture.stop();
  }
  const names = (tries: readonly Try[]) =>
    tries
      .map(({ what }) => what)
      .sort()
      .join(', ');
  mustBe('the ways on which packets arrive', names(all.filter(came)), names(right));
  return all.length;
}

/** The addresses at which sshd of domnet greets the guest. */
async function greeted(guest: Guest, addresses: readonly string[]): Promise<string> {
  const said = await guest
    .run(
      addresses
        .map(
          (to) =>
            `sleep 2 | timeout 10 nc -w 2 ${to} 22 2>/dev/null | head -c 3 | grep -q SSH && echo greets ${to}`,
        )
        .join('; '),
    )
    .catch((error: Error) => error.message);
  return addresses.filter((to) => said.includes(`greets ${to}`)).join(' ');
}

const refused = (host: XenHost, guest: Guest, devid: number): Promise<string> =>
  host.until('hotplug-error', () => host.store.get(`${guest.backend(devid)}/hotplug-error`));

/** Vifs that may not have what dom0 gives them, or less than they could take: beside the first, as eth1 of the guest. */
async function addresses(host: XenHost, { name, vif }: DualStack, guest: Guest): Promise<string[]> {
  const said: string[] = [];
  const another = async (keys: string, what: () => Promise<void>) => {
    await host.attach(guest, `${vif},mac=00:16:3e:00:01:01${keys}`, 1);
    await what();
    await host.dom0(`xl network-detach ${guest.name} 1`);
    await guest.gone([1]);
  };
  for (const own of ['192.0.2.1', '2001:db8:ffff::1'])
    await another(`,ip=${own}`, async () => {
      said.push(await refused(host, guest, 1));
    });
  // What a guest sends that has only the other family, or no address at all.
  const [keys, from] = name === 'NAT' ? [',ip=2001:db8::7', '10.0.0.7'] : ['', '192.0.2.77'];
  await another(keys, async () => {
    await guest.connected([1]);
    const own = { address: from, address6: name === 'NAT' ? '2001:db8::7' : '2001:db8:ffff::77' };
    const tries = datagrams('another', [own, '00:16:3e:00:01:01'], outer, router);
    const capture = await Capture.start(host, 'out', 'eth0');
    const came = ({ mark }: Try) => capture.frames.some((hex) => hex.includes(mark));
    const last = datagrams('own', [first, attacker], outer, router);
    try {
      await guest.run(
        `ip link set eth1 up; sendframes eth1 <<END\n${tries.map(({ frame }) => frame.toString('hex')).join('\n')}\nEND`,
      );
      await send(
        guest,
        last.map(({ frame }) => frame),
      );
      await host.until('the last frames', () => last.every(came));
    } finally {
      capture.stop();
    }
    const right = name === 'NAT' ? 'another by IPv6' : '';
    mustBe(
      'what passes',
      tries
        .filter(came)
        .map(({ what }) => what)
        .join(),
      right,
    );
    mustBe('where the domain answers', await greeted(guest, ['fe80::1%eth1']), '');
  });
  return said;
}

/** The connections that the kernel follows after 300 datagrams of the guest, each from another port. */
async function followed(host: XenHost, guest: Guest): Promise<number> {
  const count = async () => Number(await host.domnet('cat /proc/sys/net/netfilter/nf_conntrack_count'));
  const before = await count();
  const frames = Array.from({ length: 300 }, (_, n) =>
    ethernet(
      router,
      attacker,
      etherTypes.ip,
      ipv4(
        { from: first.address, to: outer.address, protocol: 17, id: n },
        udp(5000 + n, 9, Buffer.alloc(0)),
      ),
    ),
  );
  await send(guest, frames);
  await guest.run(`ping -q -c 1 -W 5 ${outer.address}`);
  return (await count()) - before;
}

const around = (networkSetup: DualStack): Scenario => ({
  name: `${networkSetup.name}: a guest that forges, networks that stay apart, a domain that is closed, beside another guest`,
  only: 'vifd',
  fault: true,
  run: (host) =>
    withSetup(host, networkSetup, async () => {
      const { name, vif, as } = networkSetup;
      const [one, two] = [await host.resident([]), await host.guest({ vifs: [] })];
      for (const guest of [one, two]) await guest.run('true');
      await host.attach(one, `${vif},mac=${attacker},ip=${name === 'NAT' ? hostsKey : ipKey}`);
      await host.attach(two, `${vif},ip=${second.address} ${second.address6}`);
      for (const [n, guest] of [one, two].entries()) {
        await guest.connected([0], 240_000);
        await guest.run(as(n + 1));
      }
      // What waits for a neighbour's answer would come after the last frame.
      for (const { address, address6 } of [outer, first, second])
        await host.domnet(`ping -q -c 3 -i 0.5 -W 5 ${address} && ping -q -c 3 -i 0.5 -W 5 ${address6}`);
      const stop = await two.traffic(outer.address);
      const forged = await forgeRouted(host, [one, two], name === 'NAT' ? 'vif-nat' : 'vif-route');
      const count = await ways(host, one, two, name === 'routed');
      const domain = [name === 'NAT' ? '10.0.0.128' : '192.0.2.1', '2001:db8:ffff::1', 'fe80::1%eth0'];
      mustBe('where the domain answers', await greeted(one, domain), '');
      const tracked = name === 'routed' ? await followed(host, one) : undefined;
      if (tracked !== undefined && tracked > 50) throw new Error(`${tracked} connections are followed`);
      const said = await addresses(host, networkSetup, one);
      const pings = await stop();
      // What was asked is there to be reached.
      await host.configure(`[${name === 'NAT' ? 'nat' : 'route'}]\nservices = ["tcp/22"]`);
      await host.becomes('where it answers now', domain.join(' '), () => greeted(one, domain), 120_000);
      return `${forged}; ${count} ways; ${tracked === undefined ? '' : `of 300 flows ${tracked} followed; `}${said.join(' | ')}; the other guest: ${pings}`;
    }),
});

export const apart: readonly Scenario[] = [around(dualStack(routed)), around(dualStack(nat))];
