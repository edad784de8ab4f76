import type { Values } from './both-agents.js';

/** A difference between what the stock script and what vifd make of a vif, and why it is wanted. */
export interface Difference extends Values {
  /** The vifs it is seen with: names of `inputs`. */
  readonly inputs: readonly string[];
  /** The thing and its attribute, as in `HostState`. */
  readonly what: string;
  readonly reason: string;
}

const reasons = {
  alias: 'names the vif that a renamed interface belongs to',
  antispoof: 'the guest is held to its MAC and these addresses; `[antispoof] mode = "off"` for none of it',
  broadcast: '`ifconfig` derives a broadcast address; a link to one guest has no use for it',
  error: 'the reason in words, with the name that was looked for',
  followed: 'the `mtu` key holds for every topology',
  forwarding: 'needed to forward for the guest; vifd sets it for the devices that need it',
  mtu: 'the guest is told the MTU it has',
  neighbour: 'the MAC is known, so no ARP is needed, and no other guest can answer it',
  owner: 'marks the port as made by vifd, also after a restart',
  proxyDelay: "the kernel holds back proxied answers for up to 0.8 s, and with them the guest's first packet",
  ra: "a guest must not change the domain's routes by a redirect or a router advertisement",
  route: 'the protocol number marks the route as made by vifd',
  status: 'vifd attaches what the stock script does not',
  v6: 'the stock script knows IPv4 only',
};

const each = (
  inputs: readonly string[],
  list: readonly (readonly [what: string, stock: string | null, vifd: string | null, reason: string])[],
): Difference[] => list.map(([what, stock, vifd, reason]) => ({ inputs, what, stock, vifd, reason }));

const filterOf = (sets: string): readonly [string, null, string, string] => [
  'nft table netdev vifd',
  null,
  `${sets}, chain vif5.0_<ifindex>`,
  reasons.antispoof,
];
const filter4 = filterOf('set macs, set speaks4, set hosts4, set dhcp_hosts, set nd_macs');
const filter46 = filterOf(
  'set macs, set speaks4, set speaks6, set hosts4, set hosts6, set dhcp_hosts, set nd_hosts, set nd_macs',
);

const bridge: Difference[] = [
  ...each(['ip'], [filter46]),
  ...each(
    ['plain', 'vifname', 'mtu', 'bridge empty', 'xenbr0 is named eth0'],
    [
      [
        'nft table netdev vifd',
        null,
        'set unheld, chain vif5.0_<ifindex>',
        'no control frame of a switch leaves a guest; `[antispoof] control_frames = true` for none of it',
      ],
    ],
  ),
  ...each(
    ['vifname'],
    [
      ['link VIF ifalias', null, 'vif5.0', reasons.alias],
      [
        'xenstore /local/domain/anna0/device/vif/anna0/mtu',
        '1500',
        null,
        "the script takes the new name for the guest's domid; in a driver domain xenstored refuses that write, and the script fails",
      ],
      ['xenstore frontend mtu', null, '1500', reasons.mtu],
    ],
  ),
  ...each(
    ['vlan'],
    [
      [
        'bridge port VIF',
        'there',
        null,
        'this bridge does not filter VLANs: the guest would be in the wrong network',
      ],
      ['link VIF flags', 'BROADCAST, MULTICAST, UP', 'BROADCAST, MULTICAST', 'a vif that is refused is down'],
      [
        'link VIF master',
        'xenbr0',
        null,
        'no stock script reads `vlan`; vifd does, and never falls back to untagged',
      ],
      [
        'xenstore backend hotplug-error',
        null,
        'attach vif5.0 to bridge xenbr0: it does not filter VLANs, and the vif has the vlan key; run: ip link set dev xenbr0 type bridge vlan_filtering 1',
        'with the remedy, after which the vif is attached without more',
      ],
      ['xenstore backend hotplug-status', 'connected', 'error', 'the same'],
      ['xenstore frontend mtu', '1500', null, 'nothing is written for a vif that is refused'],
    ],
  ),
  ...each(
    ['mtu'],
    [
      [
        'link xenbr0 mtu',
        '1400',
        '1500',
        'a bridge follows the smallest MTU of its ports, unless its own was set by hand, which vifd does',
      ],
    ],
  ),
  ...each(
    ['bridge missing'],
    [
      [
        'xenstore backend hotplug-error',
        'Could not find bridge device xenbr1',
        'attach vif5.0 to bridge xenbr1: no such bridge; the bridges here are xenbr0',
        `${reasons.error}; and when the bridge comes the vif is attached, without another try of dom0`,
      ],
    ],
  ),
  ...each(
    ['bridge is not a bridge'],
    [
      [
        'xenstore backend hotplug-error',
        null,
        'attach vif5.0 to bridge xenbr0: xenbr0 is not a bridge',
        'the script ends without a word',
      ],
      ['xenstore backend hotplug-status', '', 'error', 'the same'],
      ['xenstore frontend mtu', '1500', null, 'nothing is written for a vif that is refused'],
    ],
  ),
  ...each(
    ['bridge empty'],
    [
      [
        'link VIF master',
        'aa0',
        'zz0',
        'of several bridges the oldest, which stays the same when another comes; the script takes the first by name. libxl itself writes `xenbr0` where the guest names none',
      ],
    ],
  ),
];

const ovsAttached = ['plain', 'tag', 'trunks', 'tag and trunks', 'vlan', 'mtu', 'vifname'];
const ovsIds = 'in a driver domain the name and uuid of a guest cannot be read: the script writes them empty';
const stale =
  'the script fails over the unreadable name, goes on, and leaves the error behind; vifd clears it when a vif is connected';
const openvswitch: Difference[] = [
  ...each(ovsAttached, [
    [
      'OVS Interface VIF external_ids iface-id',
      null,
      '00:16:3e:00:05:00',
      'controllers (OVN) find a port by it',
    ],
    ['OVS Interface VIF external_ids xen-vm-name', '', null, ovsIds],
    ['OVS Interface VIF external_ids xen-vm-uuid', '', null, ovsIds],
    ['OVS Port VIF external_ids vifd', null, 'vif5.0', reasons.owner],
    ['OVS Port VIF external_ids vifd-ifindex', null, '<ifindex>', 'the netdev that it was made for'],
    ['xenstore backend hotplug-error', 'xenstore-read /uuid failed.', null, stale],
  ]),
  ...each(
    ovsAttached.filter((name) => name !== 'mtu'),
    [['xenstore frontend mtu', null, '1500', reasons.mtu]],
  ),
  ...each(
    ['tag', 'trunks', 'tag and trunks', 'vlan'],
    [
      [
        'OVS Port VIF external_ids vifd-vlan',
        null,
        'asked',
        'marks its VLANs as set by the keys; VLANs that an operator or a controller sets stay',
      ],
    ],
  ),
  ...each(
    ['vlan'],
    [
      [
        'OVS Port VIF tag',
        null,
        '10',
        'no stock script reads `vlan`: its port is a trunk of all VLANs; here it means what it means on a Linux bridge',
      ],
    ],
  ),
  ...each(
    ['tag and trunks'],
    [
      [
        'OVS Port VIF vlan_mode',
        null,
        'native-untagged',
        'Open vSwitch ignores trunks beside a tag; with this the tag is the VLAN of untagged frames, and the trunks work',
      ],
    ],
  ),
  ...each(
    ['mtu'],
    [
      ['link VIF mtu', '1500', '1400', reasons.followed],
      [
        'OVS Interface ovsbr0 mtu_request',
        null,
        '1500',
        'Open vSwitch gives its bridge the smallest MTU of the ports where it has none',
      ],
      ['xenstore frontend mtu', null, '1400', reasons.mtu],
    ],
  ),
  ...each(['vifname'], [['link VIF ifalias', null, 'vif5.0', reasons.alias]]),
  ...each(
    ['ip, datapath_type=netdev'],
    [
      [
        'OVS Interface VIF',
        'there',
        null,
        "this datapath takes packets before nftables sees them: the guest could not be held to its address. On Open vSwitch's kernel datapath it is attached and held",
      ],
      ['OVS Port VIF', 'there', null, 'the same'],
      ['link VIF flags', 'BROADCAST, MULTICAST, UP', 'BROADCAST, MULTICAST', 'a vif that is refused is down'],
      [
        'xenstore backend hotplug-error',
        'xenstore-read /uuid failed.',
        'attach vif5.0 to Open vSwitch bridge ovsbr0: anti-spoofing does not work with its datapath_type=netdev; use a bridge with datapath_type=system, or turn it off: [antispoof] mode = "off"',
        reasons.error,
      ],
      ['xenstore backend hotplug-status', 'connected', 'error', 'the same'],
    ],
  ),
  ...each(
    ['bridge missing'],
    [
      [
        'xenstore backend hotplug-error',
        'ovs-vsctl --timeout=30 -- --if-exists del-port vif5.0 -- add-port ovsbr1 vif5.0 -- set interface vif5.0 external-ids:"xen-vm-name"="" -- set interface vif5.0 external-ids:"xen-vm-uuid"="" -- set interface vif5.0 external-ids:"attached-mac"="00:16:3e:00:05:00" failed',
        'attach vif5.0 to Open vSwitch bridge ovsbr1: no such bridge; those of Open vSwitch are ovsbr0 (vif-openvswitch)',
        reasons.error,
      ],
    ],
  ),
];

const routerTable = (sets: string): string =>
  `set routed, set confined, ${sets}, chain from_anywhere, chain from_bridges, chain from_bridges_to_others, chain to_this_machine, chain to_other_machines, chain arriving, chain leaving`;
const guestSets = 'set guests, set ways_out';
const heldAtRouter = `${reasons.antispoof}; packets from elsewhere with its address are dropped, of the domain itself it reaches only what it needs, and it is forwarded by its way out only`;
const routed = (device = 'eth0') =>
  [
    [`sysctl net/ipv4/conf/${device}/forwarding`, '0', '1', reasons.forwarding],
    ['sysctl net/ipv4/conf/VIF/forwarding', '0', '1', reasons.forwarding],
    ['sysctl net/ipv4/conf/VIF/accept_redirects', '1', '0', reasons.ra],
    ['sysctl net/ipv4/neigh/VIF/proxy_delay', '80', '0', reasons.proxyDelay],
    ['sysctl net/ipv6/conf/VIF/accept_ra', '1', '0', reasons.ra],
  ] as const;
const routed6 = [
  [
    'address VIF fe80::1/64',
    null,
    'scope link',
    "the guest's IPv6 router, by an address that is always the same",
  ],
  ['sysctl net/ipv6/conf/all/forwarding', '0', '1', 'IPv6 is forwarded by the whole machine or not at all'],
  ['sysctl net/ipv6/conf/eth0/forwarding', '0', '1', 'the same'],
  ['sysctl net/ipv6/conf/VIF/forwarding', '0', '1', 'the same'],
  ['sysctl net/ipv6/conf/eth0/accept_ra', '1', '2', 'a router would lose its own default route otherwise'],
] as const;

const routeByEth0 = ['plain', 'gatewaydev', 'IPv6', 'no ip', 'network', 'vifname', 'mtu'];
const protocolOf = (protocol: string, source: string, metric = ' metric 2'): string =>
  `table main protocol ${protocol} scope link prefsrc ${source}${metric}`;
const route: Difference[] = [
  ...each(routeByEth0, [
    ['address VIF 192.0.2.1/32', 'scope global broadcast 192.0.2.255', 'scope global', reasons.broadcast],
    ...routed(),
  ]),
  ...each(
    ['plain', 'gatewaydev', 'IPv6', 'no ip', 'network', 'vifname', 'gateway device is not eth0'],
    [['xenstore frontend mtu', null, '1500', reasons.mtu]],
  ),
  ...each(['plain', 'gatewaydev', 'vifname', 'mtu', 'gateway device is not eth0'], [filter4]),
  ...each(['IPv6'], [filter46]),
  ...each(['network'], [filterOf('set macs, set speaks4, set networks4, set dhcp_networks, set nd_macs')]),
  ...each(
    ['no ip'],
    [
      [
        'nft table netdev vifd',
        null,
        'set macs, chain vif5.0_<ifindex>',
        'without an address in `ip` it may send from none',
      ],
    ],
  ),
  ...each(
    ['plain', 'gatewaydev', 'no ip', 'network', 'vifname', 'mtu', 'gateway device is not eth0'],
    [
      [
        'nft table inet vifd',
        null,
        routerTable(`${guestSets}, set ways_in, set untracked, set opened4, set opened_devices`),
        heldAtRouter,
      ],
    ],
  ),
  ...each(
    ['IPv6'],
    [
      [
        'nft table inet vifd',
        null,
        routerTable(
          `${guestSets}, set ways_in, set untracked, set opened4, set opened6, set opened_devices, set opened_families`,
        ),
        heldAtRouter,
      ],
    ],
  ),
  ...each(
    ['plain', 'gatewaydev', 'IPv6', 'vifname', 'mtu'],
    [
      ['neighbour 192.0.2.5 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      [
        'neighbour proxy 192.0.2.5 dev eth0',
        null,
        'there',
        'hosts on the uplink find the guest without a route to it; `proxy_arp` would answer for all addresses',
      ],
      [
        'route 192.0.2.5 dev VIF',
        protocolOf('boot', '192.0.2.1'),
        protocolOf('120', '192.0.2.1'),
        reasons.route,
      ],
    ],
  ),
  ...each(
    ['network'],
    [
      [
        'route 198.51.100.0/28 dev VIF',
        protocolOf('boot', '192.0.2.1'),
        protocolOf('120', '192.0.2.1'),
        reasons.route,
      ],
    ],
  ),
  ...each(
    ['IPv6'],
    [
      ...routed6,
      ['address VIF 2001:db8::1/128', null, 'scope global', reasons.v6],
      ['neighbour 2001:db8::5 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      [
        'neighbour proxy 2001:db8::5 dev eth0',
        null,
        'there',
        'the guest is found from a network that knows no route to it',
      ],
      [
        'route 2001:db8::5 dev VIF',
        null,
        'table main protocol 120 scope global prefsrc 2001:db8::1 metric 2',
        reasons.v6,
      ],
      ['sysctl net/ipv6/conf/eth0/proxy_ndp', '0', '1', 'the same'],
      [
        'sysctl net/ipv6/conf/all/proxy_ndp',
        '0',
        '1',
        'so is one that asks the address itself whether it is there still',
      ],
      [
        'xenstore backend hotplug-error',
        '/etc/xen/scripts/vif-route failed; error detected.',
        null,
        reasons.v6,
      ],
      ['xenstore backend hotplug-status', 'error', 'connected', reasons.status],
    ],
  ),
  ...each(['vifname'], [['link VIF ifalias', null, 'vif5.0', reasons.alias]]),
  ...each(
    ['mtu'],
    [
      ['link VIF mtu', '1500', '1400', reasons.followed],
      ['xenstore frontend mtu', null, '1400', reasons.mtu],
    ],
  ),
  ...each(
    ['gatewaydev missing'],
    [
      [
        'xenstore backend hotplug-error',
        '/etc/xen/scripts/vif-route failed; error detected.',
        'route vif5.0 by eth1: no such device',
        reasons.error,
      ],
    ],
  ),
  ...each(
    ['gateway device is not eth0'],
    [
      ...routed('enp0s0'),
      [
        'address VIF 192.0.2.1/32',
        null,
        'scope global',
        'without `gatewaydev` the device of the default route; the script takes eth0 and fails without',
      ],
      ['link VIF flags', 'BROADCAST, MULTICAST', 'BROADCAST, MULTICAST, UP', 'the same'],
      ['neighbour 192.0.2.5 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      [
        'neighbour proxy 192.0.2.5 dev enp0s0',
        null,
        'there',
        'the guest is found from a network that knows no route to it',
      ],
      ['route 192.0.2.5 dev VIF', null, protocolOf('120', '192.0.2.1'), reasons.route],
      ['sysctl net/ipv4/conf/VIF/proxy_arp', '0', '1', 'the script sets it, too, unless it fails before'],
      [
        'xenstore backend hotplug-error',
        '/etc/xen/scripts/vif-route failed; error detected.',
        null,
        reasons.status,
      ],
      ['xenstore backend hotplug-status', 'error', 'connected', reasons.status],
    ],
  ),
];

const natAll = ['plain', 'ip', 'two addresses', 'address above 127', 'IPv6', 'vifname', 'mtu'];
const natRoute = (guest: string, router: string): readonly [string, string, string, string] => [
  `route ${guest} dev VIF`,
  protocolOf('boot', router, ''),
  protocolOf('120', router),
  reasons.route,
];
const masqueraded = 'the script leaves masquerading, and forwarding, to the administrator';
const natTable = (masquerades: string, sets: string, more = ''): readonly [string, null, string, string] => [
  'nft table inet vifd',
  null,
  routerTable(`${masquerades}, ${guestSets}, ${sets}`),
  `${heldAtRouter}; ${masqueraded}${more}`,
];
const nat: Difference[] = [
  ...each(natAll, routed()),
  ...each(
    natAll.filter((name) => name !== 'IPv6'),
    [filter4, natTable('set masqueraded4', 'set behind_nat, set opened4, set opened_devices')],
  ),
  ...each(
    natAll.filter((name) => name !== 'mtu'),
    [['xenstore frontend mtu', null, '1500', reasons.mtu]],
  ),
  ...each(
    ['plain', 'vifname', 'mtu'],
    [
      natRoute('10.0.5.1', '10.0.5.128'),
      ['neighbour 10.0.5.1 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
    ],
  ),
  ...each(['ip', 'two addresses'], [natRoute('10.0.9.5', '10.0.9.132')]),
  ...each(
    ['ip', 'two addresses', 'IPv6'],
    [['neighbour 10.0.9.5 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour]],
  ),
  ...each(['vifname'], [['link VIF ifalias', null, 'vif5.0', reasons.alias]]),
  ...each(
    ['mtu'],
    [
      ['link VIF mtu', '1500', '1400', reasons.followed],
      ['xenstore frontend mtu', null, '1400', reasons.mtu],
    ],
  ),
  ...each(
    ['two addresses'],
    [
      [
        'address VIF 10.0.9.133/32',
        null,
        'scope global',
        'the script takes the first address and ignores the rest',
      ],
      ['neighbour 10.0.9.6 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      [
        'route 10.0.9.6 dev VIF',
        null,
        protocolOf('120', '10.0.9.133'),
        'the script takes the first address and ignores the rest',
      ],
    ],
  ),
  ...each(
    ['address above 127'],
    [
      [
        'address VIF 10.0.9.73/32',
        null,
        'scope global',
        '127 less, because 127 more is beyond the last octet',
      ],
      ['neighbour 10.0.9.200 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      ['route 10.0.9.200 dev VIF', null, protocolOf('120', '10.0.9.73'), reasons.status],
      ['sysctl net/ipv4/conf/VIF/proxy_arp', '0', '1', 'the script sets it, too, unless it fails before'],
      ['xenstore backend hotplug-error', 'ip addr add 10.0.9.327 dev vif5.0 failed', null, reasons.status],
      ['xenstore backend hotplug-status', 'error', 'connected', reasons.status],
    ],
  ),
  ...each(
    ['IPv6'],
    [
      ...routed6,
      ['neighbour fd00::5 dev VIF', null, '00:16:3e:00:05:00', reasons.neighbour],
      filter46,
      natTable(
        'set masqueraded4, set masqueraded6',
        'set behind_nat, set opened4, set opened6, set opened_devices, set opened_families',
        '; here for IPv6, too',
      ),
      ['route 10.0.9.5 dev VIF', null, protocolOf('120', '10.0.9.132'), reasons.status],
      ['route fd00::5 dev VIF', null, 'table main protocol 120 scope global metric 2', reasons.v6],
      ['sysctl net/ipv4/conf/VIF/proxy_arp', '0', '1', 'the script sets it, too, unless it fails before'],
      [
        'xenstore backend hotplug-error',
        'ip route add 10.0.9.5 fd00::5 dev vif5.0 src 10.0.9.132 failed',
        null,
        reasons.v6,
      ],
      ['xenstore backend hotplug-status', 'error', 'connected', reasons.status],
    ],
  ),
];

/** Everything that differs, by the stock script. What is not here is the same. */
export const declared = {
  'vif-bridge': bridge,
  'vif-openvswitch': openvswitch,
  'vif-route': route,
  'vif-nat': nat,
} as const;

/** A value in a cell of a table. */
export const printValue = (text: string | null): string =>
  text === null ? '' : text === '' ? 'empty' : `\`${text}\``;

/** The rows of a script's table in docs/operate/migrating.md. @param names all of its inputs */
export function table(script: keyof typeof declared, names: readonly string[]): string[] {
  return [
    '| vif | what | `xl devd` | vifd | why |',
    '|---|---|---|---|---|',
    ...declared[script].map(({ inputs, what, stock, vifd, reason }) => {
      const which = inputs.length === names.length ? 'every' : inputs.join('; ');
      return `| ${which} | \`${what}\` | ${printValue(stock)} | ${printValue(vifd)} | ${reason} |`;
    }),
  ];
}
