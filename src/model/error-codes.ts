/** What an error is about, for counting: a closed set, so that it can be a metric's label; and what that means. */
export const errorKinds = {
  configuration: "a key of the guest's, or vifd's own settings, ask for what cannot be done",
  bridge: 'a bridge is not there, or not fit',
  address: 'an address is in use by another vif or by the driver domain',
  route: 'there is no way out',
  openvswitch: 'ovs-vswitchd or its database refused',
  filter: 'nf_tables refused',
  dhcp: 'dnsmasq refused',
  script: 'an own script failed',
  kernel: 'the kernel refused',
  xenstore: 'xenstored refused',
  timeout: 'another part, such as netback or ovs-vswitchd, did nothing in time',
  other: 'anything else; a fault of vifd that should be reported',
} as const;

export type ErrorKind = keyof typeof errorKinds;

interface Meaning {
  readonly kind: ErrorKind;
  /** What is wrong, in one sentence. */
  readonly means: string;
  /** What to do about it, in one sentence. */
  readonly remedy: string;
}

const code = (kind: ErrorKind, means: string, remedy: string): Meaning => ({ kind, means, remedy });

/** Every code an error of a vif can have. A code never changes its meaning: people search for it, and alerts name it. */
export const errorCodes = {
  'key-malformed': code(
    'configuration',
    'A key that dom0 wrote into the backend directory cannot be read, or says what no guest can have, such as a multicast address.',
    "Correct it in the guest's configuration; the message says what is expected.",
  ),
  'key-missing': code(
    'configuration',
    'A key that is needed is missing in the backend directory.',
    "Give it in the guest's configuration.",
  ),
  'script-unknown': code(
    'configuration',
    'The file name of the script key is that of no topology, and it is in no directory that scripts may be in.',
    'Name a stock script, or put yours into one of `[scripts] directories`.',
  ),
  'name-taken': code(
    'configuration',
    'Another network device has the name that vifname asks for.',
    'Choose another vifname, or remove the device.',
  ),
  'name-unfilterable': code(
    'configuration',
    'nftables takes no device of the name that vifname asks for.',
    'Choose a vifname of letters, digits, ".", "-" and "_".',
  ),
  'vlan-unusable': code(
    'configuration',
    'The VLANs that the keys ask for contradict each other, or are beyond what the topology can do.',
    'Keep one of the two, or choose another script; the message says which.',
  ),
  'key-unused': code(
    'configuration',
    'A key asks for something that the topology does not have; the vif works without it.',
    "Take it out of the guest's configuration.",
  ),
  'option-unusable': code(
    'configuration',
    'A `[[vif]]` table asks to keep a guest from others in a way that its topology cannot.',
    'Leave the vif out of the table, by `topology` or `bridge`.',
  ),
  'option-unused': code(
    'configuration',
    'A `[[vif]]` table sets something that the topology does not have; the vif works without it.',
    'Leave the vif out of the table, by `topology` or `bridge`.',
  ),
  'set-unusable': code(
    'configuration',
    'A set of nf_tables that a `[[vif]]` or `[[group]]` table names is not there, or vifs cannot be elements of it; the vif works without it.',
    'Make the set, as the message says; vifd puts the vif into it then.',
  ),
  'forward-taken': code(
    'configuration',
    'A `[[forward]]` port leads to another vif, whose guest the table names as well.',
    'Name one guest in `to`; when the other vif goes, this one gets the port by itself.',
  ),
  'forward-unused': code(
    'configuration',
    'A `[[forward]]` table names a guest that is not behind NAT; the guest works without.',
    'Take the table out; a guest on a bridge or with `vif-route` is reached by its own address.',
  ),
  'addresses-missing': code(
    'configuration',
    '`[antispoof] mode = "strict"` takes no vif without addresses.',
    'Give the guest\'s addresses by ip=, or use mode = "auto".',
  ),
  'bridge-missing': code(
    'bridge',
    'There is no bridge of the name that the bridge key has, or none at all.',
    'Make the bridge, and the vif joins by itself; or correct bridge=.',
  ),
  'bridge-unfit': code(
    'bridge',
    'The device that the bridge key names is not a bridge, or does not filter VLANs while the vlan key asks for it.',
    'Name a bridge, or switch VLAN filtering on; the message has the command.',
  ),
  'bridge-down': code(
    'bridge',
    "The vif's bridge is down, so that it passes nothing of any of its ports.",
    'Take it up; the message has the command.',
  ),
  'bridge-waits': code(
    'bridge',
    "The bridge's spanning tree lets nothing through the vif's port yet.",
    'Wait, or switch it off where there can be no loop; the message has the command.',
  ),
  'port-closed': code(
    'bridge',
    "The vif's port is disabled or locked, by somebody or by `bpdu_guard`, so that the bridge passes nothing of it, or not all.",
    'The message has the command that opens it.',
  ),
  'address-taken': code(
    'address',
    'Another vif, or this domain itself, has the address.',
    'Change one of them; when the other goes, this vif gets the address by itself.',
  ),
  'address-needed': code(
    'address',
    'The address is that of a gateway or a resolver of this domain, which a route to a guest would hide; or no address of the network can be the router.',
    'Give the guest another address by ip=.',
  ),
  'address-unusable': code(
    'address',
    'The address is not that of a single guest, or there is none left to plan.',
    "Give the guest's own address by ip=.",
  ),
  'ipv6-unavailable': code(
    'address',
    'The vif can have no IPv6; its IPv4 works.',
    'Raise the MTU to 1280 or more, or switch IPv6 on; the message says which.',
  ),
  'ipv6-on-link': code(
    'address',
    "An IPv6 address of a routed guest has the length of the gateway device's network, whose hosts the guest then asks for on its own link; it reaches other guests, and not these.",
    'Give the address alone by ip= and in the guest, with the router fe80::1.',
  ),
  'gateway-missing': code(
    'route',
    'There is no gateway device: no default route, or no device of the name given.',
    'Bring the uplink up, or name another by gatewaydev=.',
  ),
  'gateway-address-missing': code(
    'route',
    'The gateway device has no IPv4 address that the vif could share.',
    'Give it one; it is followed when it changes.',
  ),
  'way-out-missing': code(
    'route',
    'Nothing leads out, so that the address is not masqueraded.',
    'Bring a default route, or the device of `[nat] uplink`, back.',
  ),
  'route-unusable': code(
    'route',
    'The network cannot be routed to a guest.',
    'Give a smaller network by ip=.',
  ),
  'route-overruled': code(
    'route',
    "A route of others goes before the vif's, or a rule has another table asked before the main one, so that its packets are sent elsewhere.",
    'Delete the other route if nothing needs it, or have the main table asked first; the message has the command.',
  ),
  'openvswitch-unreachable': code(
    'openvswitch',
    "Open vSwitch's database does not answer.",
    'systemctl start openvswitch-switch; the vif joins by itself.',
  ),
  'openvswitch-switch-down': code(
    'openvswitch',
    'ovs-vswitchd does not run, so that no port is taken; with the kernel datapath known flows go on.',
    'systemctl start openvswitch-switch; the vif joins by itself.',
  ),
  'openvswitch-port-foreign': code(
    'openvswitch',
    'Another port has the name, which vifd did not make for this vif.',
    'Delete that port if nothing needs it; the message has the command.',
  ),
  'openvswitch-port-refused': code(
    'openvswitch',
    'ovs-vswitchd could not take the port.',
    "Its own words are in the message; ovs-vswitchd's log has more.",
  ),
  'openvswitch-port-late': code(
    'timeout',
    'ovs-vswitchd has not taken the port in time.',
    'systemctl status ovs-vswitchd; the database runs and the switch does not.',
  ),
  'ovn-late': code(
    'timeout',
    'ovn-controller has not said in time that the flows of the port are there, for which [openvswitch] wait_for_ovn waits.',
    "Is there a Logical_Switch_Port with the port's iface-id, and does ovn-controller run? The vif is connected when it says so.",
  ),
  'openvswitch-refused': code(
    'openvswitch',
    "Open vSwitch's database refused a change.",
    'Its own words are in the message.',
  ),
  'filter-bypassed': code(
    'filter',
    "Anti-spoofing cannot hold the vif on this bridge: frames of Open vSwitch's userspace datapath, and of its hardware offload, pass nftables by.",
    'Use a bridge with datapath_type=system and no hw-offload, or turn anti-spoofing off.',
  ),
  'firewall-drops': code(
    'filter',
    'A chain of another program, such as Docker, ufw or firewalld, drops what the vif needs.',
    'Let the vif through; the message has the commands, `vifd check VIF` walks the whole way.',
  ),
  'filter-refused': code(
    'filter',
    'nftables refused a change.',
    "The kernel's words are in the message; `vifd check` tells whether nftables works at all.",
  ),
  'dhcp-refused': code(
    'dhcp',
    'The DHCP server could not be told of the vif.',
    'The reason is in the message.',
  ),
  'script-failed': code(
    'script',
    "The operator's own script failed, or said so in hotplug-error.",
    'Mend it; it is run again when dom0 changes a key, or with a new netdev.',
  ),
  'script-silent': code(
    'script',
    "The operator's own script ended well and wrote no hotplug-status.",
    'It has to write hotplug-status=connected.',
  ),
  'script-untrusted': code(
    'script',
    "The operator's own script is missing, or others than root can change it.",
    'The message has the command that mends it.',
  ),
  'netdev-late': code(
    'timeout',
    'netback has made no network device in time.',
    'modprobe xen-netback, then dmesg.',
  ),
  'netback-failed': code(
    'kernel',
    'netback gave the device up before it had made its network device.',
    "The kernel's log says why; mostly it is xenstore's quota.",
  ),
  'change-refused': code(
    'kernel',
    'The kernel refused a change.',
    'Its words are behind the last colon of the message; it is tried again.',
  ),
  'mtu-refused': code(
    'kernel',
    "The vif's network device does not take the MTU that it is to have; the vif works with the one that it has.",
    'Give a smaller mtu=, or switch scatter/gather on in the guest; it is tried again with each frontend, and each minute.',
  ),
  'plan-unfinished': code(
    'kernel',
    'A change was taken and had no effect.',
    'Something else undoes it, or the driver does not do it; it is tried again.',
  ),
  'guest-keys-refused': code(
    'xenstore',
    '`guest_keys` is on, and xenstored does not let vifd tell the guest of its network; the vif works.',
    'Have dom0 make `/local/domain/<guest>/vifd` (routing.md has the commands); it is tried again for up to a minute apart.',
  ),
  'xenstore-refused': code('xenstore', 'xenstored refused a request.', 'Its words are in the message.'),
  internal: code('other', 'Something went wrong that has no name.', 'Report it, with the journal.'),
} as const satisfies Readonly<Record<string, Meaning>>;

export type ErrorCode = keyof typeof errorCodes;
