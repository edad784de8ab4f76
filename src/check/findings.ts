import { basename } from 'node:path';
import type { Config } from '../config.js';
import { vifName } from '../vif/id.js';
import type { Facts, Files } from './facts.js';

/** One thing looked at: `ok`, worth knowing, likely to bite, or in the way. */
export interface Finding {
  readonly check: string;
  readonly severity: 'ok' | 'note' | 'warning' | 'error';
  readonly message: string;
  /** What to do about it; empty where there is nothing to do. */
  readonly remedy: string;
}

/**
 * Backend nodes a vif takes of this domain's xenstore quota, and the quota xenstored and oxenstored start with. The
 * 40th vif was seen to fail.
 */
const quota = { perVif: 25, nodes: 1000 };

/** Judges what was found. A check that has nothing to say of this machine is left out. */
export function findings(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  return [
    'reason' in config
      ? error('configuration', config.reason, 'correct the file; vifd keeps to the old one until then')
      : ok('configuration', 'valid'),
    ...aboutXenstore(facts),
    facts.netback
      ? ok('netback', 'xen-netback is loaded')
      : error(
          'netback',
          'xen-netback is not loaded: no vif will get a netdev',
          'modprobe xen-netback, and name it in /etc/modules-load.d',
        ),
    ...aboutRivals(facts),
    ...aboutClaims(facts),
    ...aboutBridges(facts),
    ...aboutKernel(facts),
    ...aboutTopologies(facts),
    ...leftovers(facts).map((vif) =>
      warning(
        'leftovers',
        `${vif} has something on this host but no backend in xenstore`,
        'start vifd, which clears it away',
      ),
    ),
    ...facts.stalled.map((queue) =>
      warning(
        'rings',
        `the guest's packets wait in netback's ${queue}, and none was taken`,
        `see dmesg for xen-netback's complaints; detach and attach the vif in dom0`,
      ),
    ),
  ];
}

const ok = (check: string, message: string): Finding => ({ check, severity: 'ok', message, remedy: '' });
const note = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'note',
  message,
  remedy,
});
const warning = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'warning',
  message,
  remedy,
});
const error = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'error',
  message,
  remedy,
});

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

/** Others that would attach the same vifs. */
function aboutRivals({ processes, files }: Facts): Finding[] {
  const devd = processes.some((line) => /(^|\/)xl( .*)? devd( |$)/.test(line));
  const rules = files.udev.filter(({ text }) => text.split('\n').some(runsForVifs));
  return [
    devd
      ? error(
          'xl devd',
          'it runs, and attaches and deletes the same vifs',
          'systemctl disable --now xendriverdomain.service',
        )
      : ok('xl devd', 'does not run'),
    ...rules.map(({ path }) =>
      error(
        'udev',
        `${path} runs hotplug scripts for vifs`,
        `remove it, or mask it with an empty file of that name in /etc/udev/rules.d`,
      ),
    ),
  ];
}

/** Whether a line of udev rules runs something for vifs: those for other backends, like vbd, do not matter here. */
const runsForVifs = (line: string): boolean =>
  /^[^#]*xen-backend.*RUN/.test(line) && (/vif/.test(line) || !/(KERNEL|XENBUS_TYPE\})==/.test(line));

/** Programs that configure every interface they see. */
function aboutClaims({ files, networkdRuns, networkManagerRuns }: Facts): Finding[] {
  const claiming = networkdRuns ? networkdClaim(files.networkd) : undefined;
  const unmanaged = networkManagerKeepsOff(files.networkManager);
  return [
    ...(claiming === undefined
      ? []
      : [
          warning(
            'systemd-networkd',
            `${claiming} matches vif*, so networkd configures them too`,
            'match the uplink by its own name, or put a file before it that matches vif* with Unmanaged=yes',
          ),
        ]),
    ...(networkManagerRuns && !unmanaged
      ? [
          warning(
            'NetworkManager',
            'it may configure vif*',
            'in /etc/NetworkManager/conf.d: [keyfile] unmanaged-devices=interface-name:vif*',
          ),
        ]
      : []),
  ];
}

/** The .network file by which networkd configures vifs: of those that match, the first by name is the only one used. */
function networkdClaim(files: Files): string | undefined {
  const byName = [...files].sort((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
  const used = byName.find(({ text }) => matchesVif(text));
  const released = /^\s*Unmanaged\s*=\s*(yes|true|y|t|1|on)\s*$/im.test(used?.text ?? '');
  return released ? undefined : used?.path;
}

/** What [Match] may ask of the machine rather than of the interface (systemd.network(5)): taken as fulfilled. */
const ofMachine = /^(Host|Virtualization|KernelCommandLine|KernelVersion|Credential|Architecture|Firmware)$/i;

/** Whether a .network file's [Match] takes in a netback interface: vif1.0, of type ether and no kind. */
function matchesVif(text: string): boolean {
  const section = /^\s*\[Match\]\s*$([\s\S]*?)(?=^\s*\[|(?![\s\S]))/im.exec(text)?.[1] ?? '';
  const asked = [...section.matchAll(/^\s*(\w+)\s*=\s*(.*?)\s*$/gm)]
    .map(([, key = '', value = '']) => ({ key, patterns: value.split(/\s+/) }))
    .filter(({ key }) => !ofMachine.test(key));
  return (
    asked.length > 0 &&
    asked.every(({ key, patterns }) => {
      const inverted = patterns[0]?.startsWith('!') === true;
      // It has no kind, so no pattern fits that.
      if (/^kind$/i.test(key)) return inverted;
      const value = { name: 'vif1.0', type: 'ether' }[key.toLowerCase()];
      // By its address, its path, its driver: meant for another.
      if (value === undefined) return false;
      return patterns.some((pattern) => glob(pattern.replace(/^!/, '')).test(value)) !== inverted;
    })
  );
}

/** Shell patterns as networkd has them: `*`, `?`, `[…]` and `[!…]`. */
function glob(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|\\]/g, '\\$&').replaceAll('[!', '[^');
  try {
    return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
  } catch {
    return /$^/;
  }
}

const networkManagerKeepsOff = (conf: Files): boolean =>
  conf.some(({ text }) => /^\s*unmanaged-devices\s*\+?=.*interface-name:vif/m.test(text));

function aboutBridges({ links, xenstore }: Facts): Finding[] {
  const bridges = [...links.all()].filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  const wanted =
    'reason' in xenstore ? [] : xenstore.vifs.filter(({ script }) => script?.endsWith('/vif-bridge'));
  const missing = wanted.filter(({ bridge }) => bridge !== undefined && links.byName(bridge) === undefined);
  return [
    bridges.length > 0
      ? ok('bridges', bridges.join(', '))
      : note('bridges', 'there is none', 'vifs with vif-bridge need one: ip link add xenbr0 up type bridge'),
    ...missing.map(({ id, bridge }) =>
      error(
        'bridges',
        `${vifName(id)} waits for bridge ${bridge}`,
        `ip link add ${bridge} up type bridge, or correct bridge= in the guest's configuration`,
      ),
    ),
  ];
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
            `bridged frames pass ${filtered.join(' and ')}'s FORWARD chains too`,
            'sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0, unless your rules mean it',
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

function aboutTopologies({ xenstore, sysctls, programs, openvswitch }: Facts): Finding[] {
  if ('reason' in xenstore) return [];
  const users = (script: string): string =>
    xenstore.vifs
      .filter((vif) => vif.script?.endsWith(`/${script}`))
      .map(({ id }) => vifName(id))
      .join(', ');
  const [routed, nat, ovs] = [users('vif-route'), users('vif-nat'), users('vif-openvswitch')];
  return [
    ...(routed !== '' && sysctls['net.ipv4.ip_forward'] !== '1'
      ? [
          warning(
            'forwarding',
            `${routed} are routed, but IPv4 forwarding is off`,
            'sysctl -w net.ipv4.ip_forward=1, and set it in /etc/sysctl.d',
          ),
        ]
      : []),
    ...(nat !== '' && !programs.dnsmasq
      ? [
          note(
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

/** Vifs on the host that xenstore knows nothing of. */
const leftovers = ({ owned, xenstore }: Pick<Facts, 'owned' | 'xenstore'>): string[] => {
  if ('reason' in xenstore) return [];
  const known = new Set(xenstore.vifs.map(({ id }) => vifName(id)));
  return [...new Set(owned.map(vifName))].filter((name) => !known.has(name));
};
