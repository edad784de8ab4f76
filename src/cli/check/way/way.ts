import type { TopologyName } from '../../../model/topology-name.js';
import { type Finding, ok } from '../finding.js';
import { onBridge } from './bridge.js';
import { type IpLink, netdevName, type WayFacts } from './facts.js';
import { fromGuest } from './guest.js';
import { onSwitch } from './on-switch.js';
import { routed } from './routed.js';
import { aboutTrafficControl } from './traffic-control.js';
import { aboutState, aboutVifd } from './vifd.js';

/** What was found on the way of a vif's packets, stage by stage, and the stage at which they end. */
export interface Way {
  readonly topology: TopologyName | 'script' | undefined;
  /** The first stage with an error; undefined when the packets come through. */
  readonly ends: Finding | undefined;
  readonly findings: readonly Finding[];
}

/** Walks the way of a vif's packets: from the guest to the outside, and back. */
export function judgeWay(facts: WayFacts): Way {
  const { verdict } = facts.step;
  const topology =
    verdict.kind === 'attach' ? verdict.topology : verdict.kind === 'script' ? 'script' : undefined;
  const own = facts.links.find(({ ifname }) => ifname === netdevName(facts));
  const findings = [
    ...aboutVifd(facts),
    ...(topology === undefined ? [] : fromGuest(facts)),
    ...(topology === undefined ? [] : aboutTrafficControl(facts, devicesOf(facts))),
    ...(topology === undefined || own === undefined ? [] : beyond[topology](facts, own)),
    ...(topology === undefined ? [] : aboutState(facts)),
  ];
  return { topology, ends: findings.find(({ severity }) => severity === 'error'), findings };
}

/** The vif's netdev, and those by which its packets go on: ports of its bridge that are no vifs, and ways out. */
function devicesOf(facts: WayFacts): string[] {
  const name = netdevName(facts);
  const master = facts.links.find(({ ifname }) => ifname === name)?.master;
  const ports = facts.links.filter((link) => link.master === master && !facts.vifs.has(link.ifname));
  const ways = facts.trips.flatMap(({ out }) => ('dev' in out ? [out.dev] : []));
  return [name, ...(master === undefined ? [] : ports.map(({ ifname }) => ifname)), ...ways];
}

/** What follows the vif on each topology. */
const beyond: Readonly<
  Record<TopologyName | 'script', (facts: WayFacts, own: IpLink) => readonly Finding[]>
> = {
  bridge: onBridge,
  openvswitch: onSwitch,
  route: routed,
  nat: (facts, own) => routed(facts, own, { isNat: true }),
  script: (facts, own) => {
    // An operator's script may have done anything; a bridge it has put the vif on is seen.
    const master = facts.links.find(({ ifname }) => ifname === own.master);
    return master?.linkinfo?.info_kind === 'bridge'
      ? onBridge(facts, own)
      : [ok('script', "what lies beyond is the operator's script's own")];
  },
};
