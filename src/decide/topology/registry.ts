import type { OperationError } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { stockTopology, type TopologyName, topologyNames } from '../../model/topology-name.js';
import { bridge } from './bridge.js';
import { nat } from './nat.js';
import { openvswitch } from './openvswitch.js';
import { type OperatorScript, operatorScript } from './operator-script.js';
import { route } from './route.js';
import type { Topology } from './topology.js';

const byName: Readonly<Record<TopologyName, Topology>> = { bridge, route, nat, openvswitch };

/** How scripts name topologies: `[scripts]` of the configuration. */
type Scripts = Pick<VifPolicy, 'scripts'>;

/**
 * The topology a vif asks for by the file name of its `script`, whose directory does not matter; else the operator's
 * own script.
 */
export function topologyOf(
  snapshot: VifSnapshot,
  { scripts }: Scripts,
): Topology | OperatorScript | { readonly problem: OperationError } {
  const script = snapshot.script ?? '';
  const name = scripts.map.get(script.slice(script.lastIndexOf('/') + 1)) ?? stockTopology(script);
  if (name !== undefined) return byName[name];
  return operatorScript(
    snapshot,
    scripts,
    topologyNames.map((one) => `vif-${one}`),
  );
}

/** The name of that, `script` for an operator's own; undefined where the script names none. */
export function topologyName(snapshot: VifSnapshot, scripts: Scripts): TopologyName | 'script' | undefined {
  const topology = topologyOf(snapshot, scripts);
  return 'problem' in topology ? undefined : topology.name;
}

/** Whether a vif's topology has a use for the name and the uuid of the guest, which are not among the vif's keys. */
export function wantsGuest(snapshot: VifSnapshot, scripts: Scripts): boolean {
  const topology = topologyOf(snapshot, scripts);
  return 'attach' in topology && topology.wantsGuest === true;
}
