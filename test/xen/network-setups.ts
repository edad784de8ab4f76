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

export const networkSetups: readonly NetworkSetup[] = [bridge, openvswitch, routed, nat];

/**
 * All four in one domnet, made by a unit when it boots. Guests on Open vSwitch have another network beside their own, as
 * xenbr0 keeps its addresses; the outside has a route to each routed guest, and none to those behind NAT.
 */
export const fourNetworks = {
  /** Those beside the bridge. */
  elsewhere: [
    {
      ...openvswitch,
      peer: '10.10.0.1',
      join: (guest: Guest) => `ip addr add ${guest.address(0).replace('10.9.', '10.10.')}/24 dev eth0`,
    },
    routed,
    nat,
  ] satisfies readonly NetworkSetup[],
  make: `systemctl start ovsdb-server ovs-vswitchd; ovs-vsctl --may-exist add-br ovsbr0
    ip link set ovsbr0 up; ip addr add 10.10.0.1/24 dev ovsbr0; ${outside(':')}; sysctl -qw net.ipv4.ip_forward=1`,
  route: (guest: Guest) => `ip -n out route add ${guest.address(0)} via 192.0.2.1`,
  unmake: `ovs-vsctl del-br ovsbr0; sysctl -qw net.ipv4.ip_forward=0; ${noOutside}`,
};

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
