import type { NewPortFlag } from '../model/bridge-port.js';
import { usualOvsDatabase } from '../model/ovs-port.js';
import { topologyNames } from '../model/topology-name.js';
import type { VifOptions } from '../model/vif-options.js';
import { forwardListen, forwardTo } from './forwards.js';
import { groupMembers } from './groups.js';
import { absolutePath, flag, integerFrom, listOf, numberFrom, oneOf, oneOrMore, tableOf } from './kinds.js';
import { vifLimit } from './limit.js';
import {
  anyNetwork,
  bridgeName,
  deviceName,
  domainName,
  hostName,
  ifaceIdTemplate,
  ipv4Network,
  linkGroup,
  listenAddress,
  macAddress,
  nftSet,
  plainName,
  service,
  toldAddress,
  unixSocket,
} from './network-kinds.js';
import { type Key, key, needed, repeated, type SnakeCase, section } from './section.js';

const asFound = 'left as it is found';

/** The switches of a port of a Linux bridge that `[bridge]` has for all vifs, and `[[vif]]` for some. */
const portFlags = {
  learning: key(flag, {
    otherwise: asFound,
    example: false,
    sentence:
      'Whether a Linux bridge learns the addresses that the guest sends from; without it its frames are flooded, or need entries of yours.',
  }),
  unicast_flood: key(flag, {
    otherwise: asFound,
    example: false,
    sentence: 'Whether a Linux bridge sends the vif unicast to an address that it has not learned.',
  }),
  bpdu_guard: key(flag, {
    otherwise: asFound,
    example: true,
    sentence:
      'Whether a Linux bridge with a spanning tree disables the port when a BPDU comes from the guest, which takes control_frames.',
  }),
  root_block: key(flag, {
    otherwise: asFound,
    example: true,
    sentence: 'Whether the port may never be the way to the root of the spanning tree.',
  }),
  hairpin: key(flag, {
    otherwise: asFound,
    example: true,
    sentence:
      'Whether a frame may go back by the port it came from, as guests that bridge others of their own need it.',
  }),
  fast_leave: key(flag, {
    otherwise: asFound,
    example: true,
    sentence:
      'Whether multicast ends as soon as the guest leaves a group, which is right with one listener behind the port.',
  }),
  multicast_to_unicast: key(flag, {
    otherwise: asFound,
    example: true,
    sentence: 'Whether multicast that the guest has asked for is sent to its own MAC address.',
  }),
  neighbor_suppress: key(flag, {
    otherwise: asFound,
    example: true,
    sentence:
      'Whether the bridge answers ARP and neighbour solicitations from what it knows itself, and floods the guest none of them.',
  }),
} satisfies Record<SnakeCase<NewPortFlag>, Key>;

/** What guests are told besides their address, router and resolvers, and how those of IPv6 are told. */
const toldByDhcp = {
  router_advertisements: key(flag, {
    default: false,
    sentence:
      'Whether dnsmasq gives guests the IPv6 addresses of their ip key, by DHCPv6, and advertises this machine as their router.',
  }),
  ntp: key(listOf(toldAddress), {
    default: [],
    example: ['192.0.2.123'],
    sentence: 'The time servers that guests are told of, by DHCP of their own family.',
  }),
  domain: key(domainName, {
    otherwise: 'they are told of none',
    example: 'example.com',
    sentence: 'The domain that guests are told of by DHCP, in which they look for names without dots.',
  }),
  guest_keys: key(flag, {
    default: false,
    sentence:
      'Whether guests find their addresses, router, resolvers and MTU in xenstore too, below a directory vifd in their own that dom0 ' +
      'makes for that.',
  }),
};

/**
 * The sections and keys of the configuration file. The type of the configuration, the example file, the manual page's list
 * and docs/reference/configuration.md are made from this; `npm run generate` writes the documents.
 */
export const sections = {
  log: section({
    level: key(oneOf(['trace', 'debug', 'info', 'warn', 'error']), {
      default: 'info',
      sentence:
        'The least severe messages that are written: at "info" one line for each thing that happened to a vif, at ' +
        '"debug" its whole story, with every change of the machine as the command an administrator would type.',
    }),
  }),
  netdev: section({
    timeout: key(numberFrom(1, 600), {
      default: 10,
      sentence:
        'Seconds that netback may take to make the interface of a backend, and ovs-vswitchd to take it as a port, ' +
        'before that is reported.',
    }),
  }),
  antispoof: section({
    mode: key(oneOf(['auto', 'strict', 'off']), {
      default: 'auto',
      sentence:
        'Which vifs are held to their MAC and to the addresses of their ip key, or those that NAT gives them: with ' +
        '"auto" those that have any, with "strict" all, and one without is refused, with "off" none.',
    }),
    control_frames: key(flag, {
      default: false,
      sentence:
        'Whether guests on bridges, held or not, may send what only switches send: spanning tree, LACP, LLDP, MVRP, CDP and the like.',
    }),
  }),
  bridge: section({
    mtu: key(oneOf(['bridge', 'uplink']), {
      default: 'bridge',
      sentence:
        'Where the MTU of a vif without the mtu key comes from: with "bridge" it is the bridge\'s when the vif joins, ' +
        'with "uplink" that of the bridge\'s uplink, now and later.',
    }),
    protect_host: key(flag, {
      default: false,
      sentence:
        "Whether this machine's own services are closed to the vifs of all Linux bridges, at each of its addresses; ARP, " +
        'neighbour discovery, echo, answers and what is not for this machine pass.',
    }),
    services: key(listOf(service), {
      default: [],
      example: ['dhcp', 'dns', 'tcp/3142'],
      sentence:
        'What stays open with protect_host: "dhcp" is UDP port 67 by IPv4, "dns" port 53 by UDP and TCP, the others are ' +
        'ports by both families.',
    }),
    ...portFlags,
  }),
  openvswitch: section({
    database: key(unixSocket, {
      default: usualOvsDatabase,
      sentence: "The socket of Open vSwitch's database, read when vifd starts and not at a reload.",
    }),
    iface_id: key(ifaceIdTemplate, {
      default: '{mac}',
      sentence:
        'What a controller knows the port by (external_ids:iface-id): "{mac}", "{domid}", "{devid}", "{vif}" and "{iface-id}" stand for what ' +
        'the vif has of that, the last for the key iface-id that dom0 writes into its backend directory.',
    }),
    iface_status: key(flag, {
      default: false,
      sentence:
        'Whether ports say external_ids:iface-status=active beside it, as controllers of OpenStack ask for it.',
    }),
    wait_for_ovn: key(flag, {
      default: false,
      sentence:
        'Whether a vif is connected only when ovn-controller says that its flows are there (external_ids:ovn-installed), so that the ' +
        'guest loses none of its first packets.',
    }),
    protect_host: key(flag, {
      default: false,
      sentence:
        "Whether this machine's own services are closed to the vifs of all bridges of Open vSwitch, as [bridge] closes them to " +
        'those on Linux bridges.',
    }),
    services: key(listOf(service), {
      default: [],
      example: ['dhcp', 'dns', 'tcp/3142'],
      sentence: 'What stays open with protect_host, in the words that services of [bridge] takes.',
    }),
  }),
  route: section({
    gateway_device: key(deviceName, {
      otherwise: 'the device of the default route',
      example: 'eth0',
      sentence: 'The device whose address a routed vif has when its gatewaydev key names none.',
    }),
    services: key(listOf(service), {
      default: [],
      example: ['dns'],
      sentence:
        "This machine's services that are open to routed guests, in the words of those of [bridge], besides what dhcp and router_advertisements need.",
    }),
    dhcp: key(oneOf(['off', 'dnsmasq']), {
      default: 'off',
      sentence:
        'With "dnsmasq" a DHCP server gives each routed guest the first IPv4 address of its ip key, its router and resolvers, with "off" ' +
        'there is none.',
    }),
    dns: key(listOf(toldAddress), {
      default: [],
      example: ['192.0.2.53'],
      sentence:
        'The resolvers that routed guests are told of, by DHCP of their own family; with an empty list those that this machine has in ' +
        '/etc/resolv.conf, but for loopback ones.',
    }),
    ...toldByDhcp,
  }),
  nat: section({
    network: key(ipv4Network, {
      default: '10.0.0.0/8',
      sentence:
        'The network that guests have their address from when their ip key has no IPv4 address: its start plus ' +
        '256 * domid + devid + 1, or from /20 on one that follows from the MAC address; they are told its prefix ' +
        "length, or 16 with 10.0.0.0/8, as Xen's script does.",
    }),
    uplink: key(oneOrMore(deviceName), {
      otherwise: 'the devices of all default routes, followed when those change',
      example: ['tun0'],
      sentence:
        'The devices to masquerade out of; what guests send leaves this machine by these alone, and is dropped ' +
        'where it would go by another.',
    }),
    dhcp: key(oneOf(['off', 'dnsmasq']), {
      default: 'off',
      sentence:
        'With "dnsmasq" a DHCP server gives each guest its one address, its router and its resolvers, with "off" ' +
        'there is none.',
    }),
    dns: key(listOf(toldAddress), {
      default: [],
      sentence:
        'The resolvers that guests are told of, by DHCP of their own family; with an empty list it is their router, which asks whichever ' +
        'this machine uses.',
    }),
    ...toldByDhcp,
    services: key(listOf(service), {
      default: [],
      example: ['tcp/3142'],
      sentence:
        "This machine's services that are open to guests, in the words of those of [bridge], besides what dhcp and router_advertisements need.",
    }),
  }),
  scripts: section({
    directories: key(listOf(absolutePath), {
      default: ['/etc/xen/scripts'],
      sentence:
        "Where scripts of your own may be, which a guest's configuration names: directories that belong to root, as " +
        'must every directory above, and that only root can write to; an empty list allows none.',
    }),
    map: key(tableOf(oneOf(topologyNames)), {
      default: {},
      example: { 'my-bridge': 'bridge' },
      sentence: 'File names of scripts of yours, each with the topology that stands in for it.',
    }),
  }),
  hooks: section({
    directory: key(absolutePath, {
      otherwise: 'none is called',
      example: '/etc/vifd/hooks',
      sentence:
        'The directory of the executables that are called after a vif was attached, changed or detached; as with ' +
        'scripts, only root may own or write to them.',
    }),
  }),
  metrics: section({
    listen: key(listenAddress, {
      otherwise: 'nowhere',
      example: '127.0.0.1:9775',
      sentence:
        'Where Prometheus may ask for /metrics, by TCP or at a Unix socket like unix:/run/vifd/metrics.sock; the unit ' +
        'lets in the loopback only, and security.md tells how to open it.',
    }),
    traffic: key(flag, {
      default: false,
      sentence:
        'Whether bytes, packets and drops of each vif are among the metrics, six series for each of them, which are read from the ' +
        'kernel when Prometheus asks.',
    }),
  }),
  vif: repeated(
    'Settings of the vifs that match; there may be several of these tables, and where more than one matches, the ' +
      'later one wins, key by key.',
    {
      bridge: key(bridgeName, {
        otherwise: 'vifs on any bridge',
        example: 'xenbr0',
        sentence:
          'Matches the vifs on this bridge, of Linux or Open vSwitch; of several such keys all have to match.',
      }),
      mac: key(macAddress, {
        otherwise: 'vifs of any guest',
        example: '00:16:3e:00:00:05',
        sentence: 'Matches the vifs of guests with this address.',
      }),
      ip: key(anyNetwork, {
        otherwise: 'vifs with any address, or none',
        example: '10.0.0.0/24',
        sentence: 'Matches the vifs with an address in this network.',
      }),
      domid: key(integerFrom(0, 65_535), {
        otherwise: 'vifs of any domain',
        example: 5,
        sentence: 'Matches the vifs of this domain, which has another number after each start.',
      }),
      topology: key(oneOf(topologyNames), {
        otherwise: 'vifs of any topology',
        example: 'bridge',
        sentence: 'Matches the vifs of this topology.',
      }),
      antispoof: key(oneOf(['off', 'mac', 'addresses']), {
        otherwise: 'as [antispoof] mode says',
        example: 'mac',
        sentence:
          'What the vif is held to: with "off" nothing, with "mac" its MAC, with "addresses" also the addresses of its ' +
          'ip key and of allow, and without any it is refused.',
      }),
      allow: key(listOf(anyNetwork), {
        otherwise: 'none',
        example: ['fe80::/10'],
        sentence:
          'Addresses and networks that a vif which is held may use besides those of its ip key; by itself it holds none: a vif ' +
          'without ip is held to these alone only with antispoof = "addresses" or mode = "strict".',
      }),
      allow_macs: key(listOf(macAddress), {
        otherwise: 'none',
        example: ['00:00:5e:00:01:0a'],
        sentence: 'MAC addresses that a vif which is held may use besides its own, as VRRP does.',
      }),
      control_frames: key(flag, {
        otherwise: 'as [antispoof] says',
        example: true,
        sentence:
          'Whether the guest may send what only switches send: spanning tree, LACP, LLDP, MVRP, CDP and the like.',
      }),
      isolated: key(flag, {
        otherwise: asFound,
        example: true,
        sentence:
          'Whether the vif is kept from other isolated ones: by its bridge from its other isolated ports (on Open vSwitch "protected"), where ' +
          'it is routed or behind NAT from all that are.',
      }),
      limit: key(vifLimit, {
        otherwise: 'none',
        example: { from_guest: '100mbit', to_guest: '200mbit', packets: '20kpps', broadcast: '100pps' },
        sentence:
          'How much may pass in a second, and is dropped beyond that: bits from the guest and to it, its frames, and those of them to ' +
          'broadcast and multicast addresses; burst is what may pass at once beside the bits of one second, by default 128kb.',
      }),
      lan: key(flag, {
        otherwise: 'it does',
        example: false,
        sentence:
          'Whether a routed vif or one behind NAT reaches private networks: those of RFC 1918, of carriers (100.64.0.0/10), link-local ones and fc00::/7; ' +
          'with false it is left answers, and the resolver that it is told of.',
      }),
      multicast_flood: key(flag, {
        otherwise: asFound,
        example: false,
        sentence: 'Whether the bridge sends the vif multicast that it did not ask for.',
      }),
      broadcast_flood: key(flag, {
        otherwise: asFound,
        example: false,
        sentence: 'Whether the bridge sends the vif broadcast, which ARP needs.',
      }),
      ...portFlags,
      uplink: key(oneOrMore(deviceName), {
        otherwise: 'those of [nat]',
        example: 'tun0',
        sentence:
          'The uplink of [nat] for these vifs, if they are behind NAT; the rules by which their packets are routed there are yours.',
      }),
      hostname: key(hostName, {
        otherwise: 'it is told of none',
        example: 'web',
        sentence: 'The name that DHCP tells the guest of, behind NAT or routed; for one guest, by its mac.',
      }),
      group: key(linkGroup, {
        otherwise: asFound,
        example: 7,
        sentence:
          "The group of the vif's interface, a number or a name of /etc/iproute2/group, by which rules of yours match it as iifgroup and oifgroup.",
      }),
      sets: key(oneOrMore(nftSet), {
        otherwise: 'none',
        example: 'inet filter web',
        sentence:
          'Sets of nf_tables of your own that the vif is an element of: by the name of its interface, its MAC address, or its IPv4 or IPv6 addresses, as the ' +
          'type of each set asks for.',
      }),
      txqueuelen: key(integerFrom(0, 1_000_000), {
        otherwise: asFound,
        example: 1000,
        sentence: "The length of the vif's transmit queue in packets.",
      }),
      offload: key(tableOf(flag), {
        otherwise: asFound,
        example: { tso: false },
        sentence: 'Offloads and whether they are on, by the names that "ethtool -K" takes.',
      }),
    } satisfies Record<SnakeCase<keyof VifOptions>, Key>,
  ),
  group: repeated(
    'Guests that are parted from others, on every topology alike; there may be several of these tables, and a vif that several match is ' +
      'in the last of them. A vif in none reaches all that are in none.',
    {
      name: needed(plainName, {
        example: 'web',
        sentence: 'Its name, by which "vifd status VIF" shows it.',
      }),
      members: needed(groupMembers, {
        example: { bridge: 'xenbr0', ip: '10.0.3.0/24' },
        sentence:
          'What its vifs have, in the words by which [[vif]] tables match, all of them; or a list of such tables, of which one has to match.',
      }),
      talk: needed(oneOf(['none', 'group', 'all']), {
        example: 'group',
        sentence:
          'Which other guests its guests reach and are reached by: with "none" no other, with "group" those of the group, with "all" ' +
          'those that no group parts, as if in none.',
      }),
      sets: key(oneOrMore(nftSet), {
        otherwise: 'none',
        example: 'inet filter web',
        sentence:
          'Sets of nf_tables of your own that its vifs are elements of, besides those of [[vif]] tables.',
      }),
    },
  ),
  forward: repeated(
    'Ports of this machine that lead to guests behind NAT; there may be several of these tables. What is forwarded follows the ' +
      "guest's address and that of the uplink, and a guest reaches it as the outside does.",
    {
      listen: needed(forwardListen, {
        example: { port: 2222, proto: 'tcp' },
        sentence:
          "The port, at the addresses of the guest's uplinks or at the one address that is named; no two tables have one in common.",
      }),
      to: needed(forwardTo, {
        example: { mac: '00:16:3e:00:00:05', port: 22 },
        sentence:
          'The guest, by one of mac, ip and domid, the last of which is another after each start, and its port.',
      }),
    },
  ),
};
