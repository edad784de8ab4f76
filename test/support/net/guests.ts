import { Ping } from '../process/background.js';
import { until } from '../process/exec.js';
import type { Domnet, Vif, VifSpec } from './domnet.js';
import { OpenVswitch } from './openvswitch.js';
import { Outside } from './outside.js';
import { answers } from './ping.js';

/** A topology for test guests, each with an address plan by domid. */
export type Kind = 'bridge' | 'openvswitch' | 'route' | 'nat';

/** The bridges of the topologies that have one. */
export const bridges = { bridge: 'xenbr0', openvswitch: 'ovsbr0' } as const;

/** The address at the other end of the uplink. */
export const outer = '192.0.2.254';

/** Adds what guests of each topology need: the uplink, a Linux bridge, and one of an Open vSwitch that is returned. */
export async function prepareTopologies(domnet: Domnet): Promise<OpenVswitch> {
  await connectUplink(domnet);
  await domnet.addBridge(bridges.bridge);
  const ovs = new OpenVswitch(domnet);
  await ovs.start();
  await ovs.addBridge(bridges.openvswitch);
  return ovs;
}

/** Adds an uplink eth0 with default routes, for IPv6 by option; guests of `vif-route` have addresses of its network. */
export async function connectUplink(domnet: Domnet, { version6 = true } = {}): Promise<Outside> {
  const outside = await Outside.connect(domnet, {
    device: 'eth0',
    addresses: ['192.0.2.1/24', ...(version6 ? ['2001:db8::1/64'] : [])],
    peer: [`${outer}/24`, ...(version6 ? ['2001:db8::fe/64'] : [])],
  });
  await domnet.ip(`route add default via ${outer}`);
  if (version6) await domnet.ip('-6 route add default via 2001:db8::fe');
  return outside;
}

const plans: Record<Kind, { keys: VifSpec['keys']; address: (domid: number) => string; prefix: number }> = {
  bridge: { keys: { bridge: bridges.bridge }, address: (domid) => `10.7.0.${domid}`, prefix: 24 },
  openvswitch: {
    keys: { script: '/etc/xen/scripts/vif-openvswitch', bridge: bridges.openvswitch },
    address: (domid) => `10.6.0.${domid}`,
    prefix: 24,
  },
  route: {
    keys: { script: '/etc/xen/scripts/vif-route', bridge: undefined },
    address: (domid) => `192.0.2.${domid}`,
    prefix: 32,
  },
  nat: {
    keys: { script: '/etc/xen/scripts/vif-nat', bridge: undefined },
    address: (domid) => `10.0.${domid}.1`,
    prefix: 16,
  },
};

export const addressOf = (kind: Kind, { domid }: { domid: number }): string => plans[kind].address(domid);

/** The keys that dom0 writes for a guest of this topology. */
export const keysOf = (kind: Kind, domid: number): NonNullable<VifSpec['keys']> => ({
  ...plans[kind].keys,
  // With NAT it has the address of the stock plan without a key.
  ...(kind === 'route' ? { ip: addressOf(kind, { domid }) } : {}),
});

/** Plugs a guest, without waiting for the agent. */
export const plugGuest = (
  domnet: Domnet,
  kind: Kind,
  domid: number,
  keys: VifSpec['keys'] = {},
): Promise<Vif> => domnet.plug({ domid, keys: { ...keysOf(kind, domid), ...keys } });

/** Configures the guest's own interface, as its administrator would. */
export async function configure(kind: Kind, vif: Vif): Promise<void> {
  const { prefix, address } = plans[kind];
  await vif.guestIp(`address replace ${address(vif.domid)}/${prefix} dev eth0`);
  if (kind === 'route') {
    await vif.guestIp('route replace 192.0.2.1 dev eth0');
    await vif.guestIp('route replace default via 192.0.2.1');
  }
  if (kind === 'nat') await vif.guestIp(`route replace default via 10.0.${vif.domid}.128`);
}

/** A guest that is connected and configured. */
export async function guest(
  domnet: Domnet,
  kind: Kind,
  domid: number,
  keys: VifSpec['keys'] = {},
): Promise<Vif> {
  const vif = await plugGuest(domnet, kind, domid, keys);
  await vif.connected();
  await configure(kind, vif);
  return vif;
}

/** Waits for an answer to one ping. */
export const reaches = (vif: Vif, address: string, timeoutMs?: number): Promise<unknown> =>
  until(
    `an answer of ${address} to ${vif.name}`,
    () =>
      vif.guestExec('ping', ['-n', '-c', '1', '-W', '0.2', address]).then(
        () => true,
        () => undefined,
      ),
    timeoutMs,
  );

/** Starts to ping from one guest to another, or to outside. */
export async function pingFrom(from: Vif, address: string): Promise<Ping> {
  // Packets that are lost while addresses are resolved for the first time do not count.
  await reaches(from, address);
  const ping = new Ping(await from.domnet.guestNamespace(from.domid), address);
  from.domnet.atEnd(() => ping.stop());
  await answers(ping, 5);
  return ping;
}
