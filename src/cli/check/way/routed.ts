import { dropCure } from '../../../model/drop-cures.js';
import type { Served } from '../../../model/firewall.js';
import { exchange } from '../../../nft/walk/firewall.js';
import type { Packet } from '../../../nft/walk/packet.js';
import { remedyFor } from '../../../nft/walk/remedy.js';
import { type Passage, pass } from '../../../nft/walk/walk.js';
import { error, type Finding, note, ok, warning } from '../finding.js';
import type { IpLink, Trip, WayFacts } from './facts.js';
import { judgePassages, unreadable } from './firewall.js';

/** From a routed vif, or one behind NAT, by this domain's routes to the outside and back. */
export function routed(facts: WayFacts, own: IpLink, { isNat } = { isNat: false }): Finding[] {
  const { trips } = facts;
  if (trips.length === 0) {
    return [
      note(
        'route',
        'the guest has no address of its own here, so no way can be looked up',
        'give its addresses by ip=',
      ),
    ];
  }
  const findings = [...unreadable(facts), ...trips.flatMap((trip) => walk(facts, own, trip, isNat))];
  return [
    ...findings,
    ...(facts.dhcpWanted ? aboutDhcp(facts, own) : []),
    ...(facts.advertises ? aboutService(facts, own, 'dhcp6', 'DHCPv6') : []),
    ...aboutConnections(facts),
  ];
}

function walk(facts: WayFacts, own: IpLink, trip: Trip, isNat: boolean): Finding[] {
  const { out, back } = trip;
  const way = 'dev' in out ? out : trip.own;
  return [
    ...aboutForwarding(facts, own, trip),
    ...aboutWayOut(facts, own, trip),
    ...('dev' in way
      ? [
          ...aboutUplink(facts, trip, way.dev),
          ...aboutFilters(facts, own, trip, way.dev, isNat),
          ...aboutWayBack(facts, own, trip, way.dev, back),
        ]
      : []),
  ];
}

const conf = (family: 4 | 6, device: string, key: string): string => `net/ipv${family}/conf/${device}/${key}`;
const off = (name: string): string => `sysctl -w ${name.replaceAll('.', '/')}=1`;

function aboutForwarding({ sysctl }: WayFacts, own: IpLink, { family, own: ownWay }: Trip): Finding[] {
  // IPv4 asks the device that a packet comes in by, IPv6 `all`.
  const names =
    family === 4
      ? [own.ifname, ...('dev' in ownWay ? [ownWay.dev] : [])].map((device) => conf(4, device, 'forwarding'))
      : [conf(6, 'all', 'forwarding')];
  const wrong = [...new Set(names)].filter((name) => sysctl(name) === '0');
  return wrong.length === 0
    ? [ok('forwarding', `IPv${family} is on for ${family === 4 ? 'the vif and its way out' : 'all'}`)]
    : wrong.map((name) =>
        error(
          'forwarding',
          `${name} is 0: IPv${family} that comes in there goes nowhere`,
          `${off(name)}; look for forwarding in /etc/sysctl.d and /etc/systemd/network`,
        ),
      );
}

/** The reverse path filter of a device: the larger of `all` and its own. */
const reverseFilter = ({ sysctl }: WayFacts, device: string): number =>
  Math.max(...['all', device].map((one) => Number(sysctl(conf(4, one, 'rp_filter')) ?? 0)));

function aboutWayOut(facts: WayFacts, own: IpLink, trip: Trip): Finding[] {
  const { family, guest, target, out } = trip;
  const what = `from ${guest} to ${target}`;
  if ('dev' in out) {
    if (out.dev === own.ifname) {
      return [
        error(
          'route',
          `${what}: the route leads back into ${own.ifname}`,
          `ip -${family} route get ${target}; delete the route that does that`,
        ),
      ];
    }
    return [ok('route', `${what}: by ${out.dev}${out.gateway === undefined ? '' : ` via ${out.gateway}`}`)];
  }
  const refused = out.refused;
  if ('refused' in trip.own) {
    return [
      error(
        'route',
        `${what}: this domain itself has no way there (${trip.own.refused})`,
        `bring the uplink's default route back: ip -${family} route show default`,
      ),
    ];
  }
  // The kernel's error for it is EXDEV, and EINVAL since 6.13.
  const isElsewhere = !('dev' in trip.toGuest) || trip.toGuest.dev !== own.ifname;
  if (family === 4 && reverseFilter(facts, own.ifname) > 0 && isElsewhere) {
    const reason = `rp_filter of ${own.ifname} is ${reverseFilter(facts, own.ifname)}, and the route to ${guest} does not lead there`;
    return [
      error(
        'rp_filter',
        `${what}: refused, as its source is not behind ${own.ifname} for the kernel; ${reason}`,
        `ip -${family} route get ${guest} shows where it leads; delete that route, or sysctl -w net.ipv4.conf.${own.ifname.replaceAll('.', '/')}.rp_filter=0`,
      ),
    ];
  }
  const remedy = `ip -${family} rule show, and ip -${family} route get ${target} from ${guest} iif ${own.ifname}`;
  return [error('route', `${what}: the kernel refuses it (${refused})`, remedy)];
}

function aboutUplink(
  { links }: WayFacts,
  { nextHop, family, target, own: ownWay }: Trip,
  device: string,
): Finding[] {
  const link = links.find(({ ifname }) => ifname === device);
  if (link === undefined) return [];
  if (!link.flags.includes('UP')) return [error('uplink', `${device} is down`, `ip link set ${device} up`)];
  if (link.flags.includes('NO-CARRIER') || link.operstate === 'LOWERLAYERDOWN')
    return [error('uplink', `${device} has no carrier`, 'the cable, or the other end')];
  const hop = ('dev' in ownWay ? ownWay.gateway : undefined) ?? target;
  if (nextHop === 'FAILED')
    return [
      error(
        'uplink',
        `the next hop ${hop} does not answer at ${device}`,
        `is it there? ping ${hop}; ip -${family} route show default`,
      ),
    ];
  return [ok('uplink', `${device} is up and has carrier`)];
}

function aboutFilters(facts: WayFacts, own: IpLink, trip: Trip, way: string, isNat: boolean): Finding[] {
  const { ruleset } = facts;
  if (!('base' in ruleset)) return [];
  const { family, guest, target } = trip;
  const remedy = (chain: (typeof ruleset.base)[number], passage: Passage): string =>
    chain.family === 'inet' && chain.table === 'vifd'
      ? (asConfigured(passage) ?? ownRemedy(chain.hook, own.ifname, trip))
      : remedyFor(ruleset, chain, own.ifname);
  const judge = (what: string, packet: Packet): Finding[] => {
    const hooks = ['prerouting', 'forward', 'postrouting'];
    const passed = hooks.flatMap((hook) =>
      pass(ruleset, hook, {
        ...packet,
        iif: hook === 'postrouting' ? '' : packet.iif,
        oif: hook === 'prerouting' ? '' : packet.oif,
      }),
    );
    const dropped = passed.findIndex(({ outcome, isCertain }) => outcome === 'drop' && isCertain);
    return judgePassages(
      'firewall',
      what,
      dropped < 0 ? passed : passed.slice(0, dropped + 1),
      facts,
      remedy,
    );
  };
  const ports = { sport: 40_000, dport: 443 };
  const out: Packet = {
    family,
    iif: own.ifname,
    oif: way,
    source: guest,
    destination: target,
    protocol: 'tcp',
    ...ports,
    state: 'new',
    to: 'unicast',
  };
  const back: Packet = {
    family,
    iif: way,
    oif: own.ifname,
    source: target,
    destination: guest,
    protocol: 'tcp',
    sport: 443,
    dport: 40_000,
    state: 'established',
    to: 'unicast',
  };
  const forth = judge(`packets from ${guest}`, out);
  const findings = [...forth, ...judge(`answers to ${guest}`, back)];
  // What is dropped on its way is not translated.
  if (isNat && !forth.some(({ severity }) => severity === 'error')) {
    const translated = pass(ruleset, 'postrouting', out).some(({ isTranslated }) => isTranslated);
    findings.push(
      translated
        ? ok('masquerade', `${guest} is masqueraded out of ${way}`)
        : error(
            'masquerade',
            `${guest} is not masqueraded out of ${way}, so that no answer finds back`,
            `vifd masquerades out of the device of the default route, or of [nat] uplink: is ${way} that? Else systemctl restart vifd`,
          ),
    );
  }
  return findings;
}

/** What to do about a drop that the configuration asks for, by the comment of the rule; undefined for any other. */
function asConfigured({ rule }: Passage): string | undefined {
  const [, reason = ''] = /comment "([^"#]*) #/.exec(rule?.rule.text ?? '') ?? [];
  const isAsked = ['private network', 'isolated', 'another group'].includes(reason);
  const cure = isAsked ? dropCure(reason) : undefined;
  return cure && `so the configuration has it: ${cure}`;
}

/** What to do about a drop by vifd's own rules for routed vifs. */
function ownRemedy(hook: string, device: string, { family, guest, target }: Trip): string {
  return hook === 'prerouting'
    ? // `from_anywhere`: the route to the sender leads to a vif, and not to where it came from.
      `a guest's address comes only from its own vif: ip -${family} route get ${guest} is to lead to ${device}, and that to ${target} to no vif`
    : `vifd lets ${device} out by the device of a default route, or of uplink in [nat] or [[vif]]: ip -${family} rule show, and ip -${family} route get ${target} from ${guest} iif ${device}`;
}

function aboutWayBack(facts: WayFacts, own: IpLink, trip: Trip, way: string, back: Trip['back']): Finding[] {
  const { family, guest, target } = trip;
  if (back === undefined) return [];
  const what = `the answer from ${target} to ${guest}`;
  if ('dev' in back) {
    if (back.dev !== own.ifname) {
      return [
        error(
          'route back',
          `${what}: the route leads to ${back.dev}, not to ${own.ifname}`,
          overruling(facts, guest) ??
            `ip -${family} route get ${guest}; delete the other route, or change the address of one of the guests`,
        ),
      ];
    }
    const state = facts.neighbours.get(guest);
    return state === 'FAILED' || state === 'INCOMPLETE'
      ? [
          error(
            'neighbour',
            `${guest} does not answer at ${own.ifname}: its neighbour entry is ${state}`,
            "has the guest that address, on the interface with its configuration's MAC?",
          ),
        ]
      : [ok('route back', `${what}: by ${own.ifname}`)];
  }
  if (family === 4 && reverseFilter(facts, way) > 0 && /cross-device|invalid argument/i.test(back.refused)) {
    const strict = reverseFilter(facts, way) === 1;
    return [
      error(
        'rp_filter',
        `${what}: refused at ${way}, whose rp_filter is ${reverseFilter(facts, way)}: ${strict ? 'the route to its source leads elsewhere' : 'there is no route to its source'}`,
        `sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.${way.replaceAll('.', '/')}.rp_filter=2, or mend the route to ${target}`,
      ),
    ];
  }
  return [
    error(
      'route back',
      `${what}: the kernel refuses it (${back.refused})`,
      `ip -${family} route get ${guest} from ${target} iif ${way}`,
    ),
  ];
}

/** What goes before vifd's route to a guest, and what to do about it, as vifd says it at attach. */
function overruling({ step }: WayFacts, guest: string): string | undefined {
  const lacks = step.kind === 'attached' ? step.missing.map(({ problem }) => problem) : [];
  return lacks.find(({ code, target }) => code === 'route-overruled' && target === guest)?.reason;
}

/** Whether the guest's requests reach the DHCP server and the resolver of this domain, and their answers the guest. */
function aboutDhcp(facts: WayFacts, own: IpLink): Finding[] {
  const { dhcpServer, resolvers, servesNames } = facts;
  const findings = [
    ...aboutService(facts, own, 'dhcp', 'DHCP'),
    ...(servesNames ? aboutService(facts, own, 'dns', 'DNS') : []),
  ];
  const again = 'systemctl status vifd-dnsmasq; apt install dnsmasq-base';
  if (dhcpServer === 'ours') findings.push(ok('dhcp', "vifd's server listens on port 67"));
  else if (dhcpServer === undefined) findings.push(error('dhcp', 'nothing listens on port 67', again));
  else {
    const message = `${dhcpServer} has port 67 and knows no guest of vifd, whose server does not run`;
    findings.push(
      error(
        'dhcp',
        message,
        `let it listen at its own interfaces alone (of dnsmasq: interface=, bind-dynamic); ${again}`,
      ),
    );
  }
  const usable = servesNames ? resolvers : resolvers.filter((address) => !/^(127\.|::1$)/.test(address));
  if (usable.length === 0) {
    const reason =
      resolvers.length === 0 ? 'there is none' : `${resolvers.join(', ')} is this domain's own loopback`;
    findings.push(
      warning(
        'resolver',
        `DHCP has no resolver to tell guests of: ${reason}`,
        '[nat] dns in vifd.toml, or nameserver in /etc/resolv.conf',
      ),
    );
  } else {
    findings.push(ok('resolver', usable.join(', ')));
  }
  return findings;
}

function aboutService(facts: WayFacts, own: IpLink, service: Served, name: string): Finding[] {
  const { ruleset } = facts;
  if (!('base' in ruleset)) return [];
  const remedy = (chain: (typeof ruleset.base)[number]): string =>
    remedyFor(ruleset, chain, own.ifname, service);
  const [request, answer] = exchange(own.ifname, service);
  const asking = [...pass(ruleset, 'prerouting', request), ...pass(ruleset, 'input', request)];
  return [
    ...judgePassages(service, `${name} requests`, asking, facts, remedy),
    ...judgePassages(service, `${name} answers`, pass(ruleset, 'output', answer), facts, remedy),
  ];
}

function aboutConnections({ sysctl }: WayFacts): Finding[] {
  const [count, most] = ['count', 'max'].map((one) =>
    Number(sysctl(`net/netfilter/nf_conntrack_${one}`) ?? 0),
  );
  if (count === undefined || most === undefined || most === 0 || count < most * 0.95) return [];
  const message = `the table of connections is full: ${count} of ${most}, so that new ones are dropped`;
  return [
    error(
      'conntrack',
      message,
      `sysctl -w net.netfilter.nf_conntrack_max=${2 * most}; conntrack -L shows whose they are`,
    ),
  ];
}
