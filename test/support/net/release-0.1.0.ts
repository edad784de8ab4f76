import { mkdirSync, writeFileSync } from 'node:fs';
import type { Domnet, Vif } from './domnet.js';

/** A vif as 0.1.0 has it: its address where it is held to one, and where it is routed. */
export interface EarlierVif {
  readonly vif: Vif;
  readonly address?: string;
  readonly topology: 'bridge' | 'route' | 'nat';
}

/**
 * Puts vifd's tables of nf_tables, and what dnsmasq is told, as 0.1.0 leaves them, in place of what this release has. Links, addresses,
 * routes, neighbours, sysctls and Open vSwitch's ports are the same in both; `VIFD_OLD` of faults/upgrade.test.ts compares that.
 */
export async function makeEarlier(
  domnet: Domnet,
  vifs: readonly EarlierVif[],
  uplink: string,
): Promise<void> {
  const held = await Promise.all(
    vifs.flatMap(({ vif, address, topology }) =>
      address === undefined ? [] : [deviceOf(vif).then((device) => ({ vif, address, topology, ...device }))],
    ),
  );
  const routed = held.filter(({ topology }) => topology !== 'bridge');
  const nat = held.filter(({ topology }) => topology === 'nat');
  const elements = (of: typeof held): string =>
    `elements = { ${of.map(({ vif, index }) => `${index} comment "${vif.name}"`).join(', ')} }`;
  await domnet.exec('nft', [
    `flush ruleset
table netdev vifd {
${held.map(chain).join('\n')}
}
table inet vifd {
  set reverse { type iface_index; counter; ${elements(routed)}; }
  set protected { type iface_index; counter; ${elements(routed)}; }
  set dhcp { type iface_index; ${elements(nat)}; }
  set dns { type iface_index; }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    fib saddr . iif oif 0 fib saddr oif @reverse counter drop comment "address of a guest #12ab"
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept comment "answer #12ab"
    icmp type echo-request accept comment "echo #12ab"
    icmpv6 type { echo-request, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept comment "echo and neighbour discovery #12ab"
    meta nfproto ipv4 udp dport 67 iif @dhcp accept comment "DHCP #12ab"
    meta l4proto { tcp, udp } th dport 53 iif @dns accept comment "DNS #12ab"
    iif @protected counter drop comment "the driver domain itself #12ab"
  }
}
table inet vifd-nat {
  set guests4 { type ipv4_addr . ifname; elements = { ${nat.map(({ vif, address }) => `${address} . "${uplink}" comment "${vif.name}"`).join(', ')} }; }
  set guests6 { type ipv6_addr . ifname; }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr . oifname @guests4 masquerade
    ip6 saddr . oifname @guests6 masquerade
  }
}`,
  ]);
  const dhcp = `${domnet.dir}/dhcp`;
  for (const { vif, name, address, mac } of nat) {
    for (const kind of ['hosts', 'options']) mkdirSync(`${dhcp}/${kind}`, { recursive: true });
    writeFileSync(`${dhcp}/hosts/${vif.name}`, `${mac},tag:${name},${address},12h\n`);
    writeFileSync(`${dhcp}/options/${vif.name}`, `tag:${name},option:netmask,255.255.0.0\n`);
  }
  writeFileSync(`${dhcp}/dnsmasq.conf`, `port=0\nno-resolv\ndhcp-hostsdir=${dhcp}/hosts\npid-file=\n`);
}

interface Device {
  readonly name: string;
  readonly index: number;
  readonly mac: string;
}

async function deviceOf(vif: Vif): Promise<Device> {
  const name = (await vif.read('vifname')) ?? vif.name;
  const link = await vif.domnet.link(name);
  if (link === undefined) throw new Error(`there is no ${name}`);
  return { name, index: link.ifindex, mac: (await vif.read('mac')) ?? '' };
}

/** A vif's chain, with rules of its own, each with the digest of all of them. */
const chain = ({ vif, address, name, index, mac }: Device & { vif: Vif; address: string }): string =>
  `  chain ${vif.name}_${index} {
    type filter hook ingress device "${name}" priority -300; policy drop;
    ether saddr != ${mac} counter drop comment "source MAC #12ab"
    @ll,96,16 0x8100 counter drop comment "VLAN tag #12ab"
    meta protocol ip udp sport 67 counter drop comment "DHCP server #12ab"
    ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept comment "DHCP client #12ab"
    ip saddr != ${address} counter drop comment "IPv4 source #12ab"
    meta protocol ip accept comment "IPv4 #12ab"
    arp saddr ether != ${mac} counter drop comment "ARP sender MAC #12ab"
    arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation 1-2 accept comment "ARP #12ab"
    meta protocol ip6 counter drop comment "IPv6 without an address #12ab"
    counter drop comment "EtherType #12ab"
  }`;
