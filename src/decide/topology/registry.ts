import type { OperationError } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { TopologyName } from '../../model/topology-name.js';
import { bridge } from './bridge.js';
import { nat } from './nat.js';
import { openvswitch } from './openvswitch.js';
import { type OperatorScript, operatorScript } from './operator-script.js';
import { route } from './route.js';
import type { Topology } from './topology.js';

const byName: Readonly<Record<TopologyName, Topology>> = { bridge, route, nat, openvswitch };

const byStockScript: ReadonlyMap<string, Topology> = new Map(
  Object.entries(byName).map(([name, topology]) => [`vif-${name}`, topology]),
);

/**
 * The topology a vif asks for by the file name of its `script`, whose directory does not matter; else the operator's
 * own script.
 */
export function topologyOf(
  snapshot: VifSnapshot,
  { scripts }: VifPolicy,
): Topology | OperatorScript | { readonly problem: OperationError } {
  const script = snapshot.script ?? '';
  const name = script.slice(script.lastIndexOf('/') + 1);
  const mapped = scripts.map.get(name);
  const topology = mapped === undefined ? byStockScript.get(name) : byName[mapped];
  return topology ?? operatorScript(snapshot, scripts, [...byStockScript.keys()]);
}
