import { chmodSync } from 'node:fs';
import type { Domnet } from '../support/net/domnet.js';
import {
  bridgePeer,
  bridgePeer6,
  internet,
  internet6,
  management,
  otherPeer,
  ovsPeer,
  uplinkAddress,
  uplinkAddress6,
  uplinkPeer,
  uplinkPeer6,
} from './addresses.js';
import { impatient, impatient6, ipBatch, setSysctls } from './batch.js';
import { type Bridge, bridges, type Uplink, uplinks } from './model.js';

// Namespaces beside the guests': numbers that no vif's slot has.
const outsideNumber: Readonly<Record<Uplink, number>> = { up0: 60_000, up1: 60_001 };
const bridgeNumber: Readonly<Record<Bridge, number>> = { xenbr0: 60_002, xenbr1: 60_003 };
const ovsNumber = { povs: 60_004, povs10: 60_006 };
const managementNumber = 60_005;

/** Addresses of devices that are made again: others remember them. */
const macs = {
  up0: ['02:00:00:00:00:01', '02:00:00:00:00:02'],
  up1: ['02:00:00:00:01:01', '02:00:00:00:01:02'],
  xenbr0: ['02:00:00:00:02:01', '02:00:00:00:02:02'],
  xenbr1: ['02:00:00:00:03:01', '02:00:00:00:03:02'],
  povs: ['02:00:00:00:04:01', '02:00:00:00:04:02'],
  povs10: ['02:00:00:00:08:01', '02:00:00:00:08:02'],
  mg0: ['02:00:00:00:05:01', '02:00:00:00:05:02'],
} as const;

/** What gives an uplink its address of IPv6, which it loses when it is taken down. */
export const address6On = (uplink: Uplink): string =>
  `address replace ${uplinkAddress6[uplink]}/64 dev ${uplink} nodad`;

/** What makes the default routes lead through an uplink. */
export const default6By = (uplink: Uplink): string =>
  `route replace default via ${uplinkPeer6[uplink]} dev ${uplink}`;
export const defaultBy = (uplink: Uplink): string[] => [
  `route replace default via ${uplinkPeer[uplink]}`,
  default6By(uplink),
];

/** What is outside of an uplink, as lines of ip's batch for the namespace that has the other end, `lan0`. */
export const outsideLines = (uplink: Uplink): string[] => [
  'link set lan0 up',
  impatient('lan0'),
  `address add ${uplinkPeer[uplink]}/24 dev lan0`,
  `address add ${internet}/32 dev lan0`,
  // Routed guests are reached as neighbours.
  'route add 198.18.0.0/16 dev lan0',
  impatient6('lan0'),
  `address add ${uplinkPeer6[uplink]}/64 dev lan0 nodad`,
  `address add ${internet6}/128 dev lan0 nodad`,
  'route add 2001:db8:18::/64 dev lan0',
];

/** The same for the driver domain's end. */
export const uplinkLines = (uplink: Uplink): string[] => [
  `link set ${uplink} up`,
  `address add ${uplinkAddress[uplink]}/24 dev ${uplink}`,
  impatient(uplink),
  impatient6(uplink),
  address6On(uplink),
];

/** What is behind a bridge, behind a port of Open vSwitch, and in the network for management. */
export const bridgeLines = (bridge: Bridge): string[] => [
  'link set lan0 up',
  impatient('lan0'),
  `address add ${bridgePeer[bridge]}/16 dev lan0`,
  `address add ${otherPeer[bridge]}/16 dev lan0`,
  impatient6('lan0'),
  `address add ${bridgePeer6[bridge]}/64 dev lan0 nodad`,
];
export const switchLines = (address: string): string[] => [
  'link set lan0 up',
  impatient('lan0'),
  `address add ${address}/16 dev lan0`,
];
export const managementLines: readonly string[] = [
  'link set lan0 up',
  `address add ${management.peer}/24 dev lan0`,
  `route add default via ${management.address}`,
];

/** The networks around the driver domain: two uplinks, one for management, and one behind each bridge. */
export class Networks {
  readonly #domnet: Domnet;

  constructor(domnet: Domnet) {
    this.#domnet = domnet;
  }

  /** Makes all of them, and the guests' namespaces. */
  async build(slots: readonly number[]): Promise<void> {
    const domnet = this.#domnet;
    // dnsmasq gives up root before it reads its files.
    chmodSync(domnet.dir, 0o755);
    const others = [
      ...Object.values(outsideNumber),
      ...Object.values(bridgeNumber),
      ...Object.values(ovsNumber),
      managementNumber,
    ];
    for (const number of [...slots, ...others]) {
      const namespace = await domnet.guestNamespace(number);
      await setSysctls(namespace, {
        'net/ipv4/conf/default/arp_notify': '1',
        // No address of IPv6 but those that are given, and none of the kernel's messages about others.
        'net/ipv6/conf/default/addr_gen_mode': '1',
        'net/ipv6/conf/default/accept_ra': '0',
        'net/ipv6/conf/default/ndisc_notify': '1',
      });
    }
    for (const uplink of uplinks) await this.makeUplink(uplink);
    await ipBatch(domnet.namespace, defaultBy('up0'));
    const there = await domnet.guestNamespace(managementNumber);
    await this.#veth('mg0', macs.mg0, there);
    await ipBatch(there, managementLines);
    await ipBatch(domnet.namespace, ['link set mg0 up', `address add ${management.address}/24 dev mg0`]);
    for (const bridge of bridges) {
      const peer = await domnet.guestNamespace(bridgeNumber[bridge]);
      await this.#veth(`p${bridge}`, macs[bridge], peer);
      await ipBatch(peer, bridgeLines(bridge));
      await this.makeBridge(bridge);
    }
  }

  async makeUplink(uplink: Uplink): Promise<void> {
    const outside = await this.#domnet.guestNamespace(outsideNumber[uplink]);
    await this.#veth(uplink, macs[uplink], outside);
    await ipBatch(outside, outsideLines(uplink));
    await ipBatch(this.#domnet.namespace, uplinkLines(uplink));
  }

  async makeBridge(bridge: Bridge): Promise<void> {
    await ipBatch(this.#domnet.namespace, [
      `link add ${bridge} address 02:00:00:00:0${bridge === 'xenbr0' ? 6 : 7}:01 type bridge forward_delay 0`,
      // Set by hand, it does not follow the smallest of its ports.
      `link set ${bridge} mtu 1500 up`,
      `link set p${bridge} master ${bridge} up`,
    ]);
  }

  /** The network of Open vSwitch: its ports `povs` and `povs10` here, and a neighbour behind each. */
  async makeSwitchPorts(): Promise<void> {
    for (const [port, address] of [['povs', ovsPeer.plain] as const, ['povs10', ovsPeer.tagged] as const]) {
      const peer = await this.#domnet.guestNamespace(ovsNumber[port]);
      await this.#veth(port, macs[port], peer);
      await ipBatch(peer, switchLines(address));
      await ipBatch(this.#domnet.namespace, [`link set ${port} up`]);
    }
  }

  /** The namespace of what is outside of an uplink. */
  outside(uplink: Uplink): Promise<string> {
    return this.#domnet.guestNamespace(outsideNumber[uplink]);
  }

  #veth(name: string, [here, there]: readonly [string, string], namespace: string): Promise<void> {
    return ipBatch(this.#domnet.namespace, [
      `link add ${name} address ${here} type veth peer name lan0 address ${there} netns ${namespace}`,
    ]);
  }
}
