import { management, ovsPeer } from '../walk/addresses.js';
import { bridges, uplinks } from '../walk/model.js';
import {
  bridgeLines,
  defaultBy,
  managementLines,
  outsideLines,
  switchLines,
  uplinkLines,
} from '../walk/networks.js';
import type { XenHost } from './xen-host.js';

/*
 * The networks of test/walk around a domnet on a Xen host: each is a VLAN of domnet's link with dom0, and what is at its
 * other end has a namespace there.
 */
interface Network {
  readonly vlan: number;
  /** The name of the VLAN's device in domnet. */
  readonly device: string;
  /** The namespace in dom0. */
  readonly namespace: string;
  /** Lines of ip's batch, for both ends. */
  readonly there: readonly string[];
  readonly here: readonly string[];
}

const networks: readonly Network[] = [
  ...bridges.map((bridge, n) => ({
    vlan: 30 + n,
    device: `p${bridge}`,
    namespace: bridge,
    there: bridgeLines(bridge),
    here: [`link set p${bridge} master ${bridge} up`],
  })),
  ...Object.entries({ povs: ovsPeer.plain, povs10: ovsPeer.tagged }).map(([port, peer], n) => ({
    vlan: 40 + n,
    device: port,
    namespace: port,
    there: switchLines(peer),
    here: [`link set ${port} up`],
  })),
  ...uplinks.map((uplink, n) => ({
    vlan: 50 + n,
    device: uplink,
    namespace: uplink,
    there: outsideLines(uplink),
    here: uplinkLines(uplink),
  })),
  {
    vlan: 60,
    device: 'mg0',
    namespace: 'management',
    there: managementLines,
    here: ['link set mg0 up', `address add ${management.address}/24 dev mg0`],
  },
];

const batch = (lines: readonly string[], namespace = '') =>
  `ip ${namespace === '' ? '' : `-n ${namespace} `}-batch - <<'LINES'\n${lines.join('\n')}\nLINES\n`;

/** Makes them; xenbr0 is there, and its MTU is set by hand, so that it does not follow the smallest of its ports. */
export async function makeWalkedNetworks(host: XenHost): Promise<void> {
  await host.dom0(
    networks
      .map(
        ({ vlan, namespace, there }) => `ip netns add ${namespace}
          ip link add link mgmt name vlan${vlan} type vlan id ${vlan}
          ip link set vlan${vlan} netns ${namespace} name lan0\n${batch(there, namespace)}`,
      )
      .join('\n'),
  );
  const devices = networks.map(
    ({ vlan, device }) => `link add link eth0 name ${device} type vlan id ${vlan}`,
  );
  await host.domnet(`systemctl start openvswitch-switch
    ${batch([
      'link add xenbr1 type bridge forward_delay 0',
      ...bridges.map((bridge) => `link set ${bridge} mtu 1500 up`),
      ...devices,
      ...networks.flatMap(({ here }) => here),
      ...defaultBy('up0'),
    ])}
    ovs-vsctl add-br ovsbr0 -- add-port ovsbr0 povs -- add-port ovsbr0 povs10 tag=10`);
}

export async function unmakeWalkedNetworks(host: XenHost): Promise<void> {
  await host.dom0(`${networks.map(({ namespace }) => `ip netns del ${namespace}`).join('; ')}; true`);
  await host.domnet(`ovs-vsctl --if-exists del-br ovsbr0
    ${networks.map(({ device }) => `ip link del ${device}`).join('; ')}; ip link del xenbr1
    sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0; true`);
}
