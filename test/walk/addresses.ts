import type { Bridge, Topology, Uplink, VifModel } from './model.js';

/** A slot is a guest's domid, and a hundred more for each device number. */
export const idOf = (slot: number): { domid: number; devid: number } => ({
  domid: slot % 100,
  devid: Math.floor(slot / 100),
});
export const slotOf = (domid: number, devid: number): number => domid + 100 * devid;

export const nameOf = (slot: number): string => `vif${idOf(slot).domid}.${idOf(slot).devid}`;
export const wantedName = ({ slot, keys }: VifModel): string => keys.vifname ?? nameOf(slot);
export const macOf = (slot: number, other = false): string =>
  `00:16:3e:0${other ? 1 : 0}:${slot.toString(16).padStart(2, '0')}:00`;

/** The address of its own that a vif of this topology can have in its `ip` key. */
export function ownIp(topology: Topology, slot: number): string {
  const host = { bridge: '10.20.0', openvswitch: '10.30.0', route: '198.18.0', nat: '' }[topology];
  return topology === 'nat' ? `10.7.${slot}.9/24` : `${host}.${slot}`;
}

/** The first three octets of the network of `[nat] network` where that is small. */
export const smallNetwork = '192.168.77';

/** The address of a NAT vif without the `ip` key by the stock script's plan. */
export const stockIp = ({ domid, devid }: { domid: number; devid: number }): string =>
  `10.0.${domid}.${1 + devid}`;

/** An address on the bridge that a guest takes in vain. */
export const spoofed = (slot: number): string => `10.20.1.${slot}`;

const hex = (slot: number): string => slot.toString(16);

/** The IPv6 address that a vif of this topology can have in its `ip` key. */
export const ownIp6 = (topology: Topology, slot: number): string =>
  `${{ bridge: '2001:db8:20', openvswitch: '2001:db8:30', route: '2001:db8:18', nat: 'fd07' }[topology]}::${hex(slot)}`;

/** The IPv6 address that a guest is configured with: on a bridge always, behind a router when it was given one. */
export const guest6Of = ({ topology, keys, slot }: VifModel): string | undefined =>
  topology === 'bridge' ? ownIp6(topology, slot) : keys.ip6;

/** The link-local address that follows from a MAC address (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const [a = 0, ...rest] = mac.split(':').map((octet) => Number.parseInt(octet, 16));
  const octets = [a ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  const words = [0, 2, 4, 6].map((at) => hex((octets[at] as number) * 256 + (octets[at + 1] as number)));
  return `fe80::${words.join(':')}`;
}

/** All addresses by which others know a guest. */
export const addressesOf = (vif: VifModel): string[] => {
  const six = guest6Of(vif);
  return [...(has4(vif) ? [guestOf(vif).address] : []), ...(six === undefined ? [] : [six])];
};

/** Whether a guest has IPv4: a routed one that was given an address of IPv6 alone has not. */
export const has4 = ({ topology, keys }: VifModel): boolean =>
  topology !== 'route' || keys.ip !== undefined || keys.ip6 === undefined;

/** Whether two vifs have one address of IPv4 behind the router. */
export const shareAddress = (one: VifModel, other: VifModel): boolean =>
  has4(one) && has4(other) && guestOf(one).address === guestOf(other).address;

/** What the guest is configured with where it has IPv4: its address, and its router's where it has one. */
export function guestOf(vif: VifModel): { address: string; prefix: number; router: string | undefined } {
  const { slot, topology, keys } = vif;
  switch (topology) {
    case 'bridge':
    case 'openvswitch':
      return { address: ownIp(topology, slot), prefix: 16, router: undefined };
    case 'route':
      return {
        address: keys.ip ?? ownIp('route', slot),
        prefix: 32,
        router: uplinkAddress[vif.gateway ?? keys.gatewaydev ?? 'up0'],
      };
    case 'nat': {
      const address = keys.ip?.replace('/24', '') ?? vif.planned ?? stockIp(idOf(slot));
      if (keys.ip === undefined && address.startsWith(smallNetwork))
        return { address, prefix: 24, router: `${smallNetwork}.1` };
      // 127 more in the last octet.
      const router = address.replace(/\d+$/, (octet) => `${Number(octet) + 127}`);
      return { address, prefix: keys.ip === undefined ? 16 : 24, router };
    }
  }
}

export const uplinkAddress: Readonly<Record<Uplink, string>> = { up0: '192.0.2.1', up1: '203.0.113.1' };
export const uplinkPeer: Readonly<Record<Uplink, string>> = { up0: '192.0.2.254', up1: '203.0.113.254' };
export const uplinkAddress6: Readonly<Record<Uplink, string>> = {
  up0: '2001:db8:a::1',
  up1: '2001:db8:b::1',
};
export const uplinkPeer6: Readonly<Record<Uplink, string>> = { up0: '2001:db8:a::fe', up1: '2001:db8:b::fe' };
export const routerLinkLocal = 'fe80::1';
export const internet = '198.51.100.80';
export const internet6 = '2001:db8:f::80';
export const management = { address: '10.99.0.1', peer: '10.99.0.2' };
export const bridgePeer: Readonly<Record<Bridge, string>> = {
  xenbr0: '10.20.255.254',
  xenbr1: '10.20.255.253',
};
export const bridgePeer6: Readonly<Record<Bridge, string>> = {
  xenbr0: '2001:db8:20::fffe',
  xenbr1: '2001:db8:20::fffd',
};
/** A second address of each peer: a guest asks for it by ARP under the address that it takes in vain. */
export const otherPeer: Readonly<Record<Bridge, string>> = {
  xenbr0: '10.20.255.252',
  xenbr1: '10.20.255.251',
};
/** The neighbours on Open vSwitch: without a VLAN, and in VLAN 10. */
export const ovsPeer = { plain: '10.30.255.254', tagged: '10.30.255.253' };
