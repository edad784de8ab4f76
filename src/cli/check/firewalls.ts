import { filtersInTheWay, type InTheWay } from '../../decide/obstacles.js';
import type { DesiredState } from '../../model/desired.js';
import { passesFamily } from '../../model/filter.js';
import { type LinkView, type ObservedState, vifOfLink } from '../../model/observed.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { bridgedRemedy, firewallView } from '../../nft/walk/firewall.js';
import type { Ruleset } from '../../nft/walk/ruleset.js';
import { explain, nameChain, pass } from '../../nft/walk/walk.js';
import { planNow } from '../plan-now.js';
import { type Finding, warning } from './finding.js';
import type { WayFacts } from './way/facts.js';
import { unreadable } from './way/firewall.js';

/** A vif with a filter of another program in its way. */
export interface Stopped extends InTheWay {
  readonly vif: string;
}

/** The filters of other programs that drop what the vifs there are need, each vif as vifd attaches it. */
export function stoppedVifs(
  vifs: readonly VifSnapshot[],
  config: VifPolicy,
  state: ObservedState,
  ruleset: Ruleset,
): Stopped[] {
  const observed = { ...state, firewall: firewallView(ruleset) };
  return vifs.flatMap((snapshot) => {
    const { verdict } = planNow(snapshot.id, snapshot, config, observed);
    if (verdict.kind !== 'attach') return [];
    const { desired } = verdict;
    return [...filtersInTheWay(desired, observed), ...ofBridgeFamily(desired, observed.links, ruleset)].map(
      (one) => ({ ...one, vif: vifName(snapshot.id) }),
    );
  });
}

/** The chains of the bridge family, as of ebtables, that drop what goes between a vif and the way out of its bridge. */
function ofBridgeFamily({ name, link, filter }: DesiredState, links: LinkView, ruleset: Ruleset): InTheWay[] {
  const bridge = link.master === null ? undefined : links.byName(link.master);
  const ports = [...links.all()].filter((one) => one.master === bridge?.index && one.name !== name);
  const uplinks = ports.filter((one) => vifOfLink(one) === undefined);
  const peers = uplinks.length > 0 ? uplinks : ports;
  if (bridge === undefined) return [];
  const tcp = { protocol: 'tcp', to: 'unicast', source: undefined, destination: undefined } as const;
  for (const family of ([4, 6] as const).filter((one) => passesFamily(filter, one))) {
    const ways = peers.map((peer) => [
      { ...tcp, family, sport: 40_000, dport: 443, state: 'new', iif: name, oif: peer.name } as const,
      { ...tcp, family, sport: 443, dport: 40_000, state: 'established', iif: peer.name, oif: name } as const,
    ]);
    const drops = ways.map((packets) =>
      packets
        .map((packet) => ({ packet, last: pass(ruleset, 'forward', packet, ['bridge']).at(-1) }))
        .find(({ last }) => last?.outcome === 'drop' && last.isCertain),
    );
    // A rule about one neighbour stops that one and not this vif.
    const [first] = drops;
    if (first?.last === undefined || drops.includes(undefined)) continue;
    const { packet, last } = first;
    const what = packet.iif === name ? 'bridged packets of the guest' : 'answers to the guest';
    const blocked = {
      chain: nameChain(last.chain),
      does: explain(last).replace(' it ', ` ${what} `),
      remedy: bridgedRemedy(ruleset, last.chain, name, bridge.name),
    };
    return [{ operation: 'bridge', target: `on ${bridge.name}`, blocked }];
  }
  return [];
}

/** A finding for each chain and what it drops, with the vifs that it stops. */
export function aboutFirewalls(
  stopped: readonly Stopped[],
  rules: Pick<WayFacts, 'ruleset' | 'unreadLegacy'>,
): Finding[] {
  const groups = new Map<string, Stopped[]>();
  for (const one of stopped) {
    const where = one.operation === 'serve' ? '' : ` ${one.target}`;
    const key = `the chain ${one.blocked.chain} ${one.blocked.does}${where}: `;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [
    ...[...groups].map(([text, group]) => {
      const [first, ...others] = group;
      const names = group.map(({ vif }) => vif).join(', ');
      const same = others.length === 0 ? '' : `; the same for ${others.map(({ vif }) => vif).join(', ')}`;
      return warning('firewall', `${text}${names}`, `${first?.blocked.remedy}${same}`);
    }),
    ...unreadable(rules),
  ];
}
