import type { Guest } from './guest.js';
import type { XenHost } from './xen-host.js';

/*
 * The four networks a vif can join, as an administrator sets them up in domnet with Debian's means, the same for every
 * agent; and what a guest's administrator types to use them.
 */
export interface NetworkSetup {
  readonly name: 'bridge' | 'Open vSwitch' | 'routed' | 'NAT';
  /** Command lines for domnet. */
  readonly make: string;
  readonly unmake: string;
  /** A vif there, as in xl.cfg. */
  readonly vif: string;
  /** The master of the netdev; `null` for none. */
  readonly master: string | null;
  /** The address that answers a guest whose packets pass. */
  readonly peer: string;
  /** A command line for the guest. */
  readonly join: (guest: Guest) => string;
}

/** Moves the addresses that guests ping to other devices: `[address, device]`. */
const moveAddresses = (from: string, to: readonly (readonly [string, string])[]) =>
  to
    .map(([address, device]) => `ip addr del ${address} dev ${from}; ip addr add ${address} dev ${device}`)
    .join('; ');

/**
 * A host beyond domnet, at the other end of wan0. It has a route to routed guests only: an answer to another guest shows
 * that domnet masqueraded its address.
 */
const outside = (routes: string) => `
  ip netns add out; ip link add wan0 type veth peer name eth0 netns out
  ip addr add 192.0.2.1/24 dev wan0; ip link set wan0 up; ip route add default via 192.0.2.9
  ip -n out addr add 192.0.2.9/24 dev eth0; ip -n out link set eth0 up; ${routes}`;
const noOutside = 'ip link del wan0; ip netns del out';

export const bridge: NetworkSetup = {
  name: 'bridge',
  make: ':',
  unmake: ':',
  vif: '',
  master: 'xenbr0',
  peer: '10.9.0.1',
  join: () => ':',
};

/** With the kernel datapath, and an interface of domnet's own in VLAN 20. */
export const openvswitch: NetworkSetup = {
  name: 'Open vSwitch',
  make: `systemctl start ovsdb-server ovs-vswitchd && ovs-vsctl add-br ovsbr0 &&
    ovs-vsctl add-port ovsbr0 vlan20 tag=20 -- set interface vlan20 type=internal && ip link set ovsbr0 up && ip link set vlan20 up &&
    { ${moveAddresses('xenbr0', [
      ['10.9.0.1/24', 'ovsbr0'],
      ['10.9.1.1/24', 'vlan20'],
    ])}; }`,
  // ovs-vswitchd goes on running, as on a production host.
  unmake: 'ovs-vsctl del-br ovsbr0; ip addr add 10.9.0.1/24 dev xenbr0; ip addr add 10.9.1.1/24 dev xenbr0',
  vif: 'script=vif-openvswitch,bridge=ovsbr0',
  master: 'ovs-system',
  peer: '10.9.0.1',
  join: () => ':',
};

export const routed: NetworkSetup = {
  name: 'routed',
  // The administrator turns forwarding on in domnet, for either agent.
  make: `${outside('ip -n out route add 10.9.0.0/16 via 192.0.2.1')}; sysctl -qw net.ipv4.ip_forward=1`,
  unmake: `sysctl -qw net.ipv4.ip_forward=0; ${noOutside}`,
  vif: 'script=vif-route,gatewaydev=wan0,ip=@',
  master: null,
  peer: '192.0.2.9',
  join: () => 'ip route add default via 10.9.0.1',
};

export const nat: NetworkSetup = {
  name: 'NAT',
  make: outside(':'),
  unmake: `sysctl -qw net.ipv4.ip_forward=0; ${noOutside}`,
  vif: 'script=vif-nat,ip=@',
  master: null,
  peer: '192.0.2.9',
  // The stock script's plan: 127 behind the guest.
  join: (guest) =>
    `ip route add default via ${guest.address(0).replace(/\d+$/, (last) => `${Number(last) + 127}`)}`,
};

/** The host beyond domnet. */
export const outer = { address: '192.0.2.9', address6: '2001:db8:ffff::9' };

/** A network of both families; `as` is a command line for guest `n`, which is 10.0.0.n and 2001:db8::n. */
export interface DualStack extends NetworkSetup {
  readonly as: (n: number) => string;
}

/**
 * One that is routed, or behind NAT, on a machine that does not forward before vifd makes it. Beside the host outside there
 * is one on a network for management, `mg0`; both have domnet as their router.
 */
export function dualStack({ name }: NetworkSetup): DualStack {
  const as = (n: number) => {
    const router = name === 'NAT' ? `10.0.0.${n + 127}` : '192.0.2.1';
    return `ip addr flush dev eth0; ip link set eth0 up; ip addr add 10.0.0.${n}/32 dev eth0; ip route add ${router} dev eth0
      ip route add default via ${router} dev eth0; ip -6 addr add 2001:db8::${n}/128 dev eth0; ip -6 route add default via fe80::1 dev eth0`;
  };
  return {
    name,
    make: `${outside(`ip addr add 2001:db8:ffff::1/64 dev wan0 nodad; ip -6 route add default via ${outer.address6}
      ip -n out addr add ${outer.address6}/64 dev eth0 nodad; ip -n out route add default via 192.0.2.1
      ip -n out -6 route add default via 2001:db8:ffff::1`)}
      ip netns add mg; ip link add mg0 type veth peer name eth0 netns mg
      ip addr add 198.51.100.1/24 dev mg0; ip addr add 2001:db8:aaaa::1/64 dev mg0 nodad; ip link set mg0 up
      ip -n mg addr add 198.51.100.9/24 dev eth0; ip -n mg addr add 2001:db8:aaaa::9/64 dev eth0 nodad
      ip -n mg link set eth0 up; ip -n mg route add default via 198.51.100.1
      ip -n mg -6 route add default via 2001:db8:aaaa::1`,
    unmake: `ip link del mg0; ip netns del mg; ${noOutside}`,
    vif: name === 'NAT' ? 'script=vif-nat' : 'script=vif-route,gatewaydev=wan0',
    master: null,
    peer: outer.address,
    join: () => as(1),
    as,
  };
}

export const networkSetups: readonly NetworkSetup[] = [bridge, openvswitch, routed, nat];

/** Runs `what` with a network setup in domnet; ends the guests and removes the setup afterwards. */
export async function withSetup<T>(
  host: XenHost,
  networkSetup: NetworkSetup,
  what: () => Promise<T>,
): Promise<T> {
  await host.domnet(networkSetup.make);
  try {
    return await what();
  } finally {
    await host.endGuests();
    await host.domnet(`${networkSetup.unmake}; true`);
  }
}
