import type { Domnet, VifSpec } from '../../support/net/domnet.js';
import { Outside } from '../../support/net/outside.js';
import type { Input } from './both-agents.js';

type Keys = NonNullable<VifSpec['keys']>;

// With an address of its own a bridge does not take that of its first port, or one made up.
const oneBridge = (name: string) => (domnet: Domnet) => domnet.addBridge(name, 'address 02:00:00:00:00:01');

const bridged = (keys: Keys, prepare: Input['prepare'] = oneBridge('xenbr0')): Input => ({ keys, prepare });

const switched = (keys: Keys): Input => ({
  keys: { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0', ...keys },
  openvswitch: true,
  prepare: async (_domnet, ovs) => ovs?.addBridge('ovsbr0'),
});

/** A driver domain with an uplink and default routes. */
const uplink = (device: string) => async (domnet: Domnet) => {
  await Outside.connect(domnet, {
    device,
    addresses: ['192.0.2.1/24', '2001:db8::1/64'],
    peer: ['192.0.2.254/24', '2001:db8::fe/64'],
  });
  await domnet.ip(`link set ${device} address 02:00:00:00:00:01`);
  await domnet.ip('route add default via 192.0.2.254');
  await domnet.ip('-6 route add default via 2001:db8::fe');
};

const routed = (script: string, keys: Keys, device = 'eth0'): Input => ({
  keys: { script: `/etc/xen/scripts/${script}`, bridge: undefined, ...keys },
  prepare: uplink(device),
});

/** The vifs that both are given, by the stock script and by what is special about them. */
export const inputs = {
  'vif-bridge': {
    plain: bridged({}),
    ip: bridged({ ip: '10.0.0.5 2001:db8::5' }),
    mtu: bridged({ mtu: '1400' }),
    vifname: bridged({ vifname: 'anna0' }),
    vlan: bridged({ vlan: '10' }),
    'bridge missing': bridged({ bridge: 'xenbr1' }),
    'bridge is not a bridge': bridged({}, (domnet) =>
      domnet.ip(
        'link add xenbr0 address 02:00:00:00:00:01 type veth peer name other address 02:00:00:00:00:02',
      ),
    ),
    'bridge empty': bridged({ bridge: '' }, async (domnet) => {
      await domnet.addBridge('zz0', 'address 02:00:00:00:00:01');
      await domnet.addBridge('aa0', 'address 02:00:00:00:00:02');
    }),
    'xenbr0 is named eth0': bridged({}, oneBridge('eth0')),
  },
  'vif-openvswitch': {
    plain: switched({}),
    tag: switched({ bridge: 'ovsbr0.10' }),
    trunks: switched({ bridge: 'ovsbr0:10:20' }),
    'tag and trunks': switched({ bridge: 'ovsbr0.5:10:20' }),
    vlan: switched({ vlan: '10' }),
    mtu: switched({ mtu: '1400' }),
    vifname: switched({ vifname: 'anna0' }),
    'ip, datapath_type=netdev': switched({ ip: '10.0.0.5' }),
    'bridge missing': switched({ bridge: 'ovsbr1' }),
  },
  'vif-route': {
    plain: routed('vif-route', { ip: '192.0.2.5' }),
    gatewaydev: routed('vif-route', { ip: '192.0.2.5', gatewaydev: 'eth0' }),
    IPv6: routed('vif-route', { ip: '192.0.2.5 2001:db8::5' }),
    'no ip': routed('vif-route', {}),
    network: routed('vif-route', { ip: '198.51.100.0/28' }),
    vifname: routed('vif-route', { ip: '192.0.2.5', vifname: 'anna0' }),
    mtu: routed('vif-route', { ip: '192.0.2.5', mtu: '1400' }),
    'gatewaydev missing': routed('vif-route', { ip: '192.0.2.5', gatewaydev: 'eth1' }),
    'gateway device is not eth0': routed('vif-route', { ip: '192.0.2.5' }, 'enp0s0'),
  },
  'vif-nat': {
    plain: routed('vif-nat', {}),
    ip: routed('vif-nat', { ip: '10.0.9.5/24' }),
    'two addresses': routed('vif-nat', { ip: '10.0.9.5/24 10.0.9.6/24' }),
    'address above 127': routed('vif-nat', { ip: '10.0.9.200/24' }),
    IPv6: routed('vif-nat', { ip: '10.0.9.5 fd00::5' }),
    vifname: routed('vif-nat', { vifname: 'anna0' }),
    mtu: routed('vif-nat', { mtu: '1400' }),
  },
} as const satisfies Record<string, Record<string, Input>>;
