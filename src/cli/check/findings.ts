import type { Config } from '../../config/config.js';
import { blockKey } from '../../model/block.js';
import { vifOfLink } from '../../model/observed.js';
import { vifName } from '../../model/vif-id.js';
import { aheadOf } from './ahead.js';
import type { Facts } from './facts.js';
import { error, type Finding, note, ok, warning } from './finding.js';
import { aboutFirewalls } from './firewalls.js';
import { aboutOpenBridges } from './open-bridges.js';
import { aboutClaims, aboutRivals } from './rivals.js';
import { aboutSenders } from './senders.js';
import { aboutTables } from './unmatched.js';

/**
 * The backend nodes that a vif takes of this domain's xenstore quota, and the default quota of xenstored and oxenstored.
 * With these the 40th vif fails.
 */
const quota = { perVif: 25, nodes: 1000 };

/** The findings about a machine, in order of the checks; a check that does not apply to it is left out. */
export function findings(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  return [
    'reason' in config
      ? error('configuration', config.reason, 'correct the file; vifd keeps to the old one until then')
      : ok('configuration', 'valid'),
    facts.vifd
      ? ok('vifd', 'runs')
      : warning(
          'vifd',
          'it does not run: nothing is attached, repaired or taken away',
          'systemctl enable --now vifd; journalctl -u vifd tells why it ended',
        ),
    ...aboutXenstore(facts),
    facts.netback
      ? ok('netback', 'xen-netback is loaded')
      : error(
          'netback',
          'xen-netback is not loaded: no vif will get a netdev',
          'modprobe xen-netback, and name it in /etc/modules-load.d',
        ),
    ...aboutBlocks(facts),
    ...aboutRivals(facts),
    ...aboutClaims(facts),
    ...aboutBridges(facts),
    ...aboutOpenBridges(facts, config),
    ...aboutKernel(facts),
    ...aboutForwarding(facts),
    ...aboutTopologies(facts, config),
    ...aboutFilters(facts, config),
    ...aboutIngress(facts),
    ...(facts.rules === undefined ? [] : aboutFirewalls(facts.stopped ?? [], facts.rules)),
    ...('reason' in config || 'reason' in facts.xenstore ? [] : aboutTables(facts.xenstore.vifs, config)),
    ...aboutSenders(facts, config),
    ...aboutLeftovers(facts),
    ...aboutRings(facts),
  ];
}

function aboutXenstore({ xenstore }: Facts): Finding[] {
  if ('reason' in xenstore) {
    const remedy = 'is this a Xen domain, is /dev/xen/xenbus there, and may you open it?';
    return [error('xenstore', xenstore.reason, remedy)];
  }
  const { domid, vifs } = xenstore;
  const nodes = vifs.length * quota.perVif;
  return [
    ok('xenstore', 'answers'),
    domid === 0
      ? note(
          'driver domain',
          'this is dom0, or a xenstored of your own',
          'in dom0 libxl runs the scripts itself: vifd belongs in a domain with driver_domain=1',
        )
      : ok('driver domain', `this is domain ${domid}`),
    nodes > quota.nodes * 0.8
      ? warning(
          'quota',
          `${vifs.length} vifs take about ${nodes} xenstore nodes; by default a domain may have ${quota.nodes}`,
          "raise quota-maxentity in dom0's oxenstored.conf, or --quota of xenstored",
        )
      : ok(
          'quota',
          `${vifs.length} vifs, about ${nodes} of the ${quota.nodes} xenstore nodes a domain has by default`,
        ),
  ];
}

/** The vifs that are blocked, and the blocks whose guest has gone. */
function aboutBlocks({ blocks = new Map(), xenstore }: Facts): Finding[] {
  const vifs = 'reason' in xenstore ? [] : xenstore.vifs;
  return [...blocks].map(([key, { vif, since, by }]) => {
    const names = vifs.filter((one) => blockKey(one) === key).map(({ id }) => vifName(id));
    const [name = vif || key.replace(/_\d+$/, '')] = names;
    return note(
      'blocked',
      `${names.length === 0 ? `a guest that has gone (${key}, ${vif || 'unknown'} then)` : names.join(', ')}: no frame passes, since ${since}, by ${by}`,
      `vifd allow ${name}, if the reason is gone`,
    );
  });
}

function aboutBridges({ links, xenstore }: Facts): Finding[] {
  const bridges = [...links.all()].filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  const wanted =
    'reason' in xenstore ? [] : xenstore.vifs.filter(({ script }) => script?.endsWith('/vif-bridge'));
  const unfiltered = wanted.filter(({ bridge, vlans }) => {
    const link = bridge === undefined ? undefined : links.byName(bridge);
    return vlans !== undefined && link !== undefined && link.vlanFiltering !== true;
  });
  const missing = wanted.filter(({ bridge }) => bridge !== undefined && links.byName(bridge) === undefined);
  return [
    bridges.length > 0
      ? ok('bridges', bridges.join(', '))
      : note('bridges', 'there is none', 'vifs with vif-bridge need one: ip link add xenbr0 up type bridge'),
    ...unfiltered.map(({ id, bridge }) =>
      error(
        'vlan_filtering',
        `${vifName(id)} has VLANs, but its bridge ${bridge} does not filter them`,
        `ip link set dev ${bridge} type bridge vlan_filtering 1, or remove vlan= from the guest's configuration`,
      ),
    ),
    ...missing.map(({ id, bridge }) =>
      error(
        'bridges',
        `${vifName(id)} waits for bridge ${bridge}`,
        `ip link add ${bridge} up type bridge, or correct bridge= in the guest's configuration`,
      ),
    ),
    ...secluded(links, wanted).map((bridge) =>
      note(
        'bridges',
        `${bridge} has no port but vifs: its guests reach each other and nothing beyond`,
        `ip link set UPLINK up master ${bridge}, and see that the program which configures the uplink does so when it comes back; nothing, if the bridge is meant to be so`,
      ),
    ),
  ];
}

/** The names of the bridges that vifs are to be on and that have no other port. */
function secluded(links: Facts['links'], vifs: readonly { readonly bridge: string | undefined }[]): string[] {
  const ports = [...links.all()].filter((link) => vifOfLink(link) === undefined);
  const connected = new Set(ports.map(({ master }) => master));
  return [...new Set(vifs.map(({ bridge }) => bridge))].filter((name): name is string => {
    const link = name === undefined ? undefined : links.byName(name);
    return link?.kind === 'bridge' && !connected.has(link.index);
  });
}

function aboutKernel({ sysctls, xenstore }: Facts): Finding[] {
  const vifs = 'reason' in xenstore ? [] : xenstore.vifs;
  const filtered = ['iptables', 'ip6tables'].filter(
    (one) => sysctls[`net.bridge.bridge-nf-call-${one}`] === '1',
  );
  const ipv6Off = (sysctls['net.ipv6.conf.all.disable_ipv6'] ?? '1') === '1';
  const withIpv6 = vifs.filter(({ ip }) => ip.some(({ family }) => family === 6));
  return [
    ...(filtered.length > 0
      ? [
          warning(
            'br_netfilter',
            `bridged frames pass the FORWARD chains of ${filtered.join(' and ')} too`,
            `sysctl -w ${filtered.map((one) => `net.bridge.bridge-nf-call-${one}=0`).join(' ')}, unless your rules mean it`,
          ),
        ]
      : []),
    ...(ipv6Off && withIpv6.length > 0
      ? [
          warning(
            'ipv6',
            `it is off here, but ${withIpv6.map(({ id }) => vifName(id)).join(', ')} has IPv6 addresses`,
            'sysctl -w net.ipv6.conf.all.disable_ipv6=0',
          ),
        ]
      : []),
  ];
}

/** Whether anti-spoofing filters can be installed. */
function aboutFilters({ nft }: Facts, config: Config | { readonly reason: string }): Finding[] {
  if (nft === undefined) return [ok('nft', 'takes filters')];
  const off = !('reason' in config) && config.antispoof.mode === 'off';
  const remedy = 'apt install libnftables1, and a kernel with CONFIG_NF_TABLES_NETDEV (modprobe nf_tables)';
  return [
    off
      ? note(
          'nft',
          `cannot be used (${nft}), and anti-spoofing is off; control frames of guests pass`,
          remedy,
        )
      : error('nft', `cannot be used, so no vif with an ip key is attached: ${nft}`, remedy),
  ];
}

/** What is at the ingress of vifs before the filters. */
function aboutIngress({ links, devices = [], ingress = [] }: Facts): Finding[] {
  const vifs = new Set([...links.all()].filter(vifOfLink).map(({ index }) => index));
  return devices.filter(({ ifindex }) => vifs.has(ifindex)).flatMap((device) => aheadOf(device, ingress));
}

/** Whether the devices forward that vifd routes between. vifd turns it on; another program may have turned it off. */
function aboutForwarding({ xenstore, links, forwarding, sysctls }: Facts): Finding[] {
  if ('reason' in xenstore) return [];
  const routed = xenstore.vifs.filter(
    ({ script, hotplugStatus }) => /\/vif-(route|nat)$/.test(script ?? '') && hotplugStatus === 'connected',
  );
  if (routed.length === 0) return [];
  const devices = [...routed.map(({ id }) => links.ofVif(id)?.name), forwarding.uplink];
  const names = [
    ...devices.filter((name) => name !== undefined && forwarding.off.has(name)),
    ...(routed.some(({ ip }) => ip.some(({ family }) => family === 6)) &&
    sysctls['net.ipv6.conf.all.forwarding'] === '0'
      ? ['IPv6']
      : []),
  ];
  return names.length === 0
    ? [ok('forwarding', 'on for routed vifs and their way out')]
    : [
        warning(
          'forwarding',
          `off for ${names.join(', ')}, though ${routed.map(({ id }) => vifName(id)).join(', ')} are routed`,
          'start vifd, which turns it on again and keeps it so; look for ip_forward and forwarding in /etc/sysctl.d and /etc/systemd/network',
        ),
      ];
}

function aboutLeftovers(facts: Facts): Finding[] {
  const found = leftovers(facts);
  if (found.length === 0) return 'reason' in facts.xenstore ? [] : [ok('leftovers', 'none of earlier vifs')];
  return found.map((vif) =>
    warning(
      'leftovers',
      `${vif} has something on this host but no backend in xenstore`,
      'start vifd, which clears it away',
    ),
  );
}

function aboutRings({ stalled, netback, links }: Facts): Finding[] {
  const some = [...links.all()].some((link) => vifOfLink(link) !== undefined);
  if (stalled === undefined) {
    return netback && some
      ? [
          note(
            'rings',
            "netback's queues cannot be seen",
            'mount -t debugfs none /sys/kernel/debug, and ask again',
          ),
        ]
      : [];
  }
  if (stalled.length === 0) return [ok('rings', "none of netback's queues stands still")];
  return stalled.map((queue) =>
    warning(
      'rings',
      `the guest's packets wait in netback's ${queue}, and none was taken`,
      `see dmesg for xen-netback's complaints; detach and attach the vif in dom0`,
    ),
  );
}

function aboutTopologies(
  { xenstore, programs, openvswitch }: Facts,
  config: Config | { readonly reason: string },
): Finding[] {
  if ('reason' in xenstore) return [];
  const users = (script: string): string =>
    xenstore.vifs
      .filter((vif) => vif.script?.endsWith(`/${script}`))
      .map(({ id }) => vifName(id))
      .join(', ');
  const [nat, ovs] = [users('vif-nat'), users('vif-openvswitch')];
  const dhcp = !('reason' in config) && config.nat.dhcp === 'dnsmasq';
  return [
    ...(nat !== '' && !programs.dnsmasq
      ? [
          dhcp
            ? error(
                'dnsmasq',
                `not installed, so ${nat} cannot get addresses by DHCP, which the configuration promises`,
                'apt install dnsmasq-base',
              )
            : note(
                'dnsmasq',
                `not installed, so ${nat} cannot get addresses by DHCP`,
                'apt install dnsmasq-base, and set [nat] dhcp = "dnsmasq"',
              ),
        ]
      : []),
    ...(ovs !== '' && !openvswitch
      ? [
          error(
            'openvswitch',
            `${ovs} waits for Open vSwitch, whose database does not answer`,
            'systemctl start openvswitch-switch, or correct [openvswitch] database',
          ),
        ]
      : []),
  ];
}

/** Names of the vifs that have state on the host but no backend in xenstore. */
const leftovers = ({ vifsWithState, xenstore }: Pick<Facts, 'vifsWithState' | 'xenstore'>): string[] => {
  if ('reason' in xenstore) return [];
  const known = new Set(xenstore.vifs.map(({ id }) => vifName(id)));
  return [...new Set(vifsWithState.map(vifName))].filter((name) => !known.has(name));
};
