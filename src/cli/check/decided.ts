import { type Config, defaultConfigFile, parseConfig } from '../../config/config.js';
import { topologyName } from '../../decide/topology/registry.js';
import { bridgeOf, type DesiredState } from '../../model/desired.js';
import type { FilterSpec } from '../../model/filter.js';
import type { OperationError } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type TopologyName, traitsOf } from '../../model/topology-name.js';
import { planNow } from '../plan-now.js';
import type { Facts } from './facts.js';

/** A vif and what vifd makes of it. */
export interface Decided {
  readonly vif: VifSnapshot;
  /** Undefined where its script names none. */
  readonly topology: TopologyName | 'script' | undefined;
  /** What a topology desires for it, also while its netdev has not come; undefined where it is refused. */
  readonly desired: DesiredState | undefined;
  /** The bridge of whichever kind that it is to be on: the one decided on, or else the one that its key names. */
  readonly bridge: string | undefined;
  readonly filter: FilterSpec | undefined;
  /** Why it is refused. */
  readonly problem: OperationError | undefined;
}

/** The vifs of this domain with what is decided about them; by the defaults where the configuration cannot be read. */
export function decidedVifs(
  { xenstore, links, observed = { links } }: Pick<Facts, 'xenstore' | 'links' | 'observed'>,
  config: Config | { readonly reason: string },
): readonly Decided[] {
  if ('reason' in xenstore) return [];
  const policy = 'reason' in config ? parseConfig('', defaultConfigFile) : config;
  return xenstore.vifs.map((vif) => {
    const { verdict } = planNow(vif.id, vif, policy, observed);
    const topology = topologyName(vif, policy);
    const isComing = verdict.kind === 'attach' || verdict.kind === 'await-netdev';
    const desired = isComing ? verdict.desired : undefined;
    const isSwitched = traitsOf(topology)?.isSwitched ?? false;
    const named = topology === 'openvswitch' ? vif.bridge?.replace(/[.:].*$/, '') : vif.bridge;
    return {
      vif,
      topology,
      desired,
      bridge: desired === undefined ? (isSwitched ? named : undefined) : bridgeOf(desired),
      filter: verdict.kind === 'script' || verdict.kind === 'await-netdev' ? verdict.filter : desired?.filter,
      problem: verdict.kind === 'refuse' ? verdict.problem : undefined,
    };
  });
}
