import { isHost } from '../../../model/address.js';
import { bridgedRemedy } from '../../../nft/walk/firewall.js';
import type { Packet } from '../../../nft/walk/packet.js';
import { pass } from '../../../nft/walk/walk.js';
import { error, type Finding, note, ok, warning } from '../finding.js';
import type { IpLink, WayFacts } from './facts.js';
import { judgePassages, unreadable } from './firewall.js';
import { aboutStandby } from './standby.js';

/** From the vif over its Linux bridge to the bridge's way out. */
export function onBridge(facts: WayFacts, own: IpLink): Finding[] {
  const { links, vifs } = facts;
  const bridge = links.find(({ ifname }) => ifname === own.master);
  if (bridge === undefined)
    return [error('bridge port', `${own.ifname} is a port of no bridge`, 'systemctl start vifd')];
  const uplinks = links.filter(({ master, ifname }) => master === bridge.ifname && !vifs.has(ifname));
  return [
    ...aboutPort(own, bridge),
    ...aboutVlans(facts, own, bridge, uplinks),
    ...aboutFdb(facts, own, bridge),
    ...aboutUplinks(bridge, uplinks, own),
    ...aboutFilters(facts, own, bridge, uplinks),
  ];
}

const dataOf = (bridge: IpLink) => bridge.linkinfo?.info_data ?? {};
const portOf = (link: IpLink) => link.linkinfo?.info_slave_data ?? {};

/** The seconds that a port of a bridge with STP waits before it forwards; 0 without. */
export function forwardDelay(bridge: IpLink): number {
  const { stp_state = 0, forward_delay = 0 } = dataOf(bridge);
  return stp_state === 0 ? 0 : Math.round((2 * forward_delay) / 100);
}

function aboutPort(own: IpLink, bridge: IpLink): Finding[] {
  const { ifname } = own;
  const { state = 'forwarding', locked = false } = portOf(own);
  const delay = forwardDelay(bridge);
  const stp = `ip link set dev ${bridge.ifname} type bridge stp_state 0; with NetworkManager: nmcli connection modify ${bridge.ifname} bridge.stp no`;
  if (!bridge.flags.includes('UP')) {
    return [error('bridge port', `the bridge ${bridge.ifname} is down`, `ip link set ${bridge.ifname} up`)];
  }
  const findings: Finding[] = [];
  // Without carrier a port is disabled, and that is said already.
  if (own.flags.includes('NO-CARRIER') || !own.flags.includes('UP')) return [];
  if (state === 'forwarding') {
    findings.push(ok('bridge port', `${ifname} forwards on ${bridge.ifname}`));
  } else if (['listening', 'learning'].includes(state)) {
    const reason = `it waits ${delay} s for the spanning tree after each attach`;
    findings.push(error('bridge port', `${ifname} is ${state} on ${bridge.ifname}: ${reason}`, stp));
  } else if (state === 'blocking') {
    const reason = 'the spanning tree has found another way to the same network by this port';
    findings.push(
      error(
        'bridge port',
        `${ifname} is blocking on ${bridge.ifname}: ${reason}`,
        `does the guest bridge its interfaces? ${stp}`,
      ),
    );
  } else {
    findings.push(
      error(
        'bridge port',
        `${ifname} is ${state} on ${bridge.ifname}`,
        delay > 0
          ? `ip link set ${ifname} down; ip link set ${ifname} up`
          : `bridge link set dev ${ifname} state 3`,
      ),
    );
  }
  if (delay > 0 && state === 'forwarding') {
    findings.push(
      warning(
        'stp',
        `${bridge.ifname} has STP on: each vif that joins it waits ${delay} s before a packet passes`,
        stp,
      ),
    );
  }
  if (portOf(own).learning === false && portOf(own).flood === false) {
    findings.push(aboutStandby('bridge port', ifname));
  }
  if (locked) {
    findings.push(
      error(
        'bridge port',
        `${ifname} is locked: only known MAC addresses pass`,
        `bridge link set dev ${ifname} locked off`,
      ),
    );
  }
  return findings;
}

function aboutVlans({ vlans }: WayFacts, own: IpLink, bridge: IpLink, uplinks: readonly IpLink[]): Finding[] {
  if (dataOf(bridge).vlan_filtering !== 1) return [];
  const ofPort = vlans.get(own.ifname) ?? [];
  if (ofPort.length === 0) {
    return [
      error(
        'vlan',
        `${own.ifname} is in no VLAN of ${bridge.ifname}`,
        `give the guest vlan=, or bridge vlan add dev ${own.ifname} vid 1 pvid untagged`,
      ),
    ];
  }
  const pvid = ofPort.find((vlan) => vlan.pvid)?.vid;
  const list = ofPort.map(({ vid }) => vid).join(', ');
  const missing = uplinks.filter(
    ({ ifname }) => !(vlans.get(ifname) ?? []).some(({ vid }) => ofPort.some((one) => one.vid === vid)),
  );
  return [
    pvid === undefined
      ? note(
          'vlan',
          `${own.ifname} has no VLAN for untagged frames, only ${list}`,
          'the guest has to tag, or vlan= with a p',
        )
      : ok('vlan', `${own.ifname} is in VLAN ${list}`),
    ...missing.map(({ ifname }) =>
      error(
        'vlan',
        `${ifname}, the way out of ${bridge.ifname}, is in none of the VLANs of ${own.ifname} (${list})`,
        `bridge vlan add dev ${ifname} vid ${pvid ?? list}`,
      ),
    ),
  ];
}

/** Where the bridge has learnt the guest's MAC address. */
function aboutFdb({ fdb, snapshot, sent, links }: WayFacts, own: IpLink, bridge: IpLink): Finding[] {
  const mac = snapshot?.mac;
  if (mac === undefined) return [];
  const onThis = (name: string): boolean =>
    name === bridge.ifname || links.some(({ ifname, master }) => ifname === name && master === bridge.ifname);
  const entries = fdb.filter((entry) => entry.mac === mac && onThis(entry.ifname));
  const elsewhere = entries.find(({ ifname }) => ifname !== own.ifname);
  if (elsewhere !== undefined) {
    const isOwn = elsewhere.state === 'permanent';
    return [
      error(
        'fdb',
        `${bridge.ifname} sends frames for ${mac} to ${elsewhere.ifname}${isOwn ? ', whose own address it is' : ''}`,
        'two interfaces have the MAC address of this guest, or there is a loop: change one',
      ),
    ];
  }
  if (entries.length > 0) return [ok('fdb', `${bridge.ifname} has learnt ${mac} at ${own.ifname}`)];
  const remedy =
    'does the guest use the MAC address of its configuration? An entry that is not refreshed goes after five minutes';
  return sent === 0 || sent === undefined
    ? []
    : [
        note(
          'fdb',
          `${bridge.ifname} has not learnt ${mac} at ${own.ifname}, though the guest has sent`,
          remedy,
        ),
      ];
}

function aboutUplinks(bridge: IpLink, uplinks: readonly IpLink[], own: IpLink): Finding[] {
  if (uplinks.length === 0) {
    return [
      note(
        'uplink',
        `${bridge.ifname} has no port but vifs: its guests reach one another, and this domain`,
        `ip link set eth0 master ${bridge.ifname}, if they are to reach a network`,
      ),
    ];
  }
  const findings = uplinks.map((link) => {
    const { ifname } = link;
    const { state = 'forwarding', isolated = false } = portOf(link);
    if (!link.flags.includes('UP'))
      return error('uplink', `${ifname}, a port of ${bridge.ifname}, is down`, `ip link set ${ifname} up`);
    if (link.flags.includes('NO-CARRIER'))
      return error(
        'uplink',
        `${ifname}, a port of ${bridge.ifname}, has no carrier`,
        'the cable, or the other end',
      );
    if (isolated && portOf(own).isolated === true)
      return error(
        'uplink',
        `${own.ifname} and ${ifname} are both isolated ports, so that nothing passes between them`,
        `bridge link set dev ${ifname} isolated off`,
      );
    if (state !== 'forwarding')
      return error(
        'uplink',
        `${ifname}, a port of ${bridge.ifname}, is ${state}`,
        'the spanning tree: bridge link show',
      );
    return ok('uplink', `${ifname} forwards on ${bridge.ifname}`);
  });
  // One that works is enough.
  const good = findings.filter(({ severity }) => severity === 'ok');
  return good.length > 0 && good.length < findings.length
    ? findings.map((one) => (one.severity === 'error' ? { ...one, severity: 'note' as const } : one))
    : findings;
}

/** What filters between two ports: chains of the bridge family, and those of IP where br_netfilter calls them. */
function aboutFilters(facts: WayFacts, own: IpLink, bridge: IpLink, uplinks: readonly IpLink[]): Finding[] {
  const { ruleset, vifs, links, snapshot, sysctl } = facts;
  if (!('base' in ruleset)) return unreadable(facts);
  const peer =
    uplinks[0] ??
    links.find(({ master, ifname }) => master === bridge.ifname && vifs.has(ifname) && ifname !== own.ifname);
  const other = peer?.ifname ?? '';
  const calls = (family: 4 | 6): boolean => {
    const { nf_call_iptables = 0, nf_call_ip6tables = 0 } = dataOf(bridge);
    const name = family === 4 ? 'iptables' : 'ip6tables';
    return (
      (family === 4 ? nf_call_iptables : nf_call_ip6tables) === 1 ||
      sysctl(`net/bridge/bridge-nf-call-${name}`) === '1'
    );
  };
  const findings: Finding[] = [...unreadable(facts)];
  const families = ([4, 6] as const).filter(
    (family) => family === 4 || snapshot?.ip.some((one) => one.family === 6) === true,
  );
  for (const family of families) {
    const ip = snapshot?.ip.find((one) => one.family === family && isHost(one))?.address;
    for (const { what, out } of packetsOf(family, ip)) {
      const name = out ? `${what} of the guest` : `${what} to the guest`;
      const [from, to] = out ? [own.ifname, other] : [other, own.ifname];
      const ends = { physin: from, physout: to };
      const bridged = pass(
        ruleset,
        'forward',
        { ...(out ? packetOut(family, ip, what) : packetBack(family, ip, what)), iif: from, oif: to },
        ['bridge'],
      );
      const called = calls(family)
        ? pass(ruleset, 'forward', {
            ...(out ? packetOut(family, ip, what) : packetBack(family, ip, what)),
            iif: bridge.ifname,
            oif: bridge.ifname,
            ...ends,
          })
        : [];
      findings.push(
        ...judgePassages('firewall', name, [...bridged, ...called], facts, (chain) =>
          bridgedRemedy(ruleset, chain, own.ifname, bridge.ifname),
        ),
      );
    }
  }
  return firstOfEach(findings);
}

type What = 'packets' | 'DHCP';

const packetsOf = (family: 4 | 6, ip: string | undefined): { what: What; out: boolean }[] => [
  { what: 'packets', out: true },
  { what: 'packets', out: false },
  // A guest whose address is given needs none.
  ...(family === 4 && ip === undefined
    ? ([
        { what: 'DHCP', out: true },
        { what: 'DHCP', out: false },
      ] as const)
    : []),
];

type Way = Omit<Packet, 'iif' | 'oif'>;

const packetOut = (family: 4 | 6, ip: string | undefined, what: What): Way =>
  what === 'DHCP'
    ? {
        family,
        source: '0.0.0.0',
        destination: '255.255.255.255',
        protocol: 'udp',
        sport: 68,
        dport: 67,
        state: 'new',
        to: 'broadcast',
      }
    : {
        family,
        source: ip,
        destination: undefined,
        protocol: 'tcp',
        sport: 40_000,
        dport: 443,
        state: 'new',
        to: 'unicast',
      };

const packetBack = (family: 4 | 6, ip: string | undefined, what: What): Way =>
  what === 'DHCP'
    ? {
        family,
        source: undefined,
        destination: '255.255.255.255',
        protocol: 'udp',
        sport: 67,
        dport: 68,
        state: 'new',
        to: 'broadcast',
      }
    : {
        family,
        source: undefined,
        destination: ip,
        protocol: 'tcp',
        sport: 443,
        dport: 40_000,
        state: 'established',
        to: 'unicast',
      };

/** Without what says the same of the same chain for another packet: one rule lets all of them through. */
function firstOfEach(findings: readonly Finding[]): Finding[] {
  const told = new Set<string>();
  return findings.filter(({ severity, remedy: how }) => {
    if (severity === 'ok' || how === '') return true;
    if (told.has(how)) return false;
    told.add(how);
    return true;
  });
}
