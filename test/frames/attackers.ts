import type { Domnet, Vif } from '../support/net/domnet.js';
import type { Kind } from '../support/net/guests.js';
import { Outside } from '../support/net/outside.js';
import { ethernet, etherTypes, ipv4, ipv6, udp } from '../support/packets/frames.js';
import type { Surroundings } from './grammar/values.js';
import { type Guest, guestOf } from './oracle/guest.js';
import { Probe } from './probe.js';

/** A guest that sends frames, what is around it, and what sees which of them pass. */
export interface Attacker {
  readonly name: string;
  readonly vif: Vif;
  readonly around: Surroundings;
  readonly probe: Probe;
}

/** A guest by its keys, what vifd.toml has for it, and what of that the promise is about. */
interface Plan {
  readonly name: string;
  readonly ip: string;
  readonly options?: readonly string[];
  readonly allow?: string;
  readonly allowMacs?: string;
  readonly of?: Partial<Guest>;
}

const vrrp = '00:00:5e:00:01:0a';
const hosts = '10.0.0.1 10.0.1.200 2001:db8::1 2001:db8:1::abcd';
const networks = '10.0.0.1 10.0.1.0/24 2001:db8::1 2001:db8:1::/64';
const version4 = { name: 'IPv4 only', ip: '10.0.2.1' };
const version6 = { name: 'IPv6 only', ip: '2001:db8:2::1' };
const more: Plan = {
  name: 'more allowed',
  ip: '10.0.4.1 2001:db8:4::1',
  options: ['allow = ["10.0.5.0/28", "fe80::/10"]', `allow_macs = ["${vrrp}"]`, 'control_frames = true'],
  allow: '10.0.5.0/28 fe80::/10',
  allowMacs: vrrp,
  of: { controlFrames: true },
};

/** The guests of each topology. One with NAT may have hosts only. */
const plans: Record<Kind, readonly Plan[]> = {
  bridge: [
    { name: 'both families', ip: networks },
    version4,
    version6,
    more,
    { name: 'held to its MAC', ip: '10.0.6.1', options: ['antispoof = "mac"'], of: { hold: 'mac' } },
  ],
  openvswitch: [
    { name: 'both families', ip: networks },
    { name: 'tagged', ip: '10.0.3.1 2001:db8:3::1', of: { tagged: true } },
  ],
  route: [{ name: 'both families', ip: networks }, version4, version6, more],
  nat: [{ name: 'both families', ip: hosts }, version4, version6],
};

/**
 * A driver domain of one topology, with its guests behind a running vifd. For Open vSwitch it is what the filter of a port
 * of its kernel datapath is, a trunk among them, without the switch: the filter comes before that, and few kernels have it.
 */
export async function attackers(domnet: Domnet, kind: Kind): Promise<Attacker[]> {
  const isRouted = kind === 'route' || kind === 'nat';
  if (isRouted) await uplink(domnet);
  else await domnet.addBridge('xenbr0');
  const daemon = await domnet.vifd({ config: plans[kind].map(configured).join('\n') });
  const found: Attacker[] = [];
  for (const [i, plan] of plans[kind].entries()) {
    const keys = isRouted ? { script: `/etc/xen/scripts/vif-${kind}`, bridge: undefined } : {};
    const vif = await domnet.plug({ domid: i + 1, keys: { ...keys, ip: plan.ip } });
    await vif.connected();
    const own = plan.ip.split(' ')[0] || '10.0.0.9';
    const probe = await Probe.of(vif, lastFrame(macOf(i), own));
    found.push({ name: `${kind}, ${plan.name}`, vif, around: surroundings(macOf(i), plan), probe });
  }
  if (kind === 'openvswitch') {
    // Without the daemon, which would take the element away again.
    await daemon.terminate();
    for (const { vif } of found.filter(({ around }) => around.guest.tagged)) {
      await domnet.exec('nft', [`add element netdev vifd tagged { "${vif.name}" }`]);
    }
  }
  return found;
}

async function uplink(domnet: Domnet): Promise<void> {
  await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['192.0.2.1/24', '2001:db8:ffff::1/64'],
    peer: ['192.0.2.254/24', '2001:db8:ffff::fe/64'],
  });
  await domnet.ip('route add default via 192.0.2.254');
  await domnet.ip('-6 route add default via 2001:db8:ffff::fe');
}

const macOf = (number: number): string => `00:16:3e:00:0${number + 1}:00`;

/** The table of vifd.toml for a guest. */
const configured = ({ options = [] }: Plan, number: number): string =>
  options.length === 0 ? '' : ['[[vif]]', `mac = "${macOf(number)}"`, ...options, ''].join('\n');

const router = 'fe:ff:ff:ff:ff:ff';
const neighbour = '00:16:3e:00:09:00';

export const surroundings = (
  mac: string,
  { ip, allow = '', allowMacs = '', of }: Omit<Plan, 'name'>,
): Surroundings => ({
  guest: guestOf(`${mac} ${allowMacs}`.trim(), `${ip} ${allow}`, of),
  otherMacs: [router, neighbour],
  // Of other guests, just beside its own networks, and far away.
  other4: ['10.0.0.2', '10.0.0.255', '10.0.2.0', '10.0.0.128', '192.0.2.1', '192.0.2.254', '198.51.100.1'],
  other6: ['2001:db8::2', '2001:db8:2::', '2001:db8::ffff', '2001:db8:ffff::9', 'fe80::216:3eff:fe00:900'],
});

/** Frames that pass, each a datagram to an address that no guest has. */
const lastFrame =
  (mac: string, own: string) =>
  (number: number): Buffer => {
    const payload = udp(9, 9, Buffer.from(`last of ${number}`));
    return own.includes(':')
      ? ethernet(router, mac, etherTypes.ip6, ipv6({ from: own, to: '2001:db8:ffff::77', next: 17 }, payload))
      : ethernet(router, mac, etherTypes.ip, ipv4({ from: own, to: '192.0.2.77', protocol: 17 }, payload));
  };
