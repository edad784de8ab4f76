import type { Attachment } from '../vif/desired.js';
import type { ObservedState } from '../vif/observed.js';
import type { TopologyName, VifPolicy } from '../vif/policy.js';
import type { OperationError } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import { bridge } from './bridge.js';
import { nat } from './nat.js';
import { openvswitch } from './openvswitch.js';
import { route } from './route.js';
import { type OperatorScript, operatorScript } from './script.js';

/** A way to join a vif to the network, under the name of the stock script that did it. */
export interface Topology {
  readonly name: TopologyName;
  /** @param isAttached whether the vif is on the network, so that it keeps what it can */
  attach(snapshot: VifSnapshot, config: VifPolicy, observed: ObservedState, isAttached: boolean): Attachment;
}

const byName: Readonly<Record<TopologyName, Topology>> = { bridge, route, nat, openvswitch };

const byStockScript: ReadonlyMap<string, Topology> = new Map(
  Object.entries(byName).map(([name, topology]) => [`vif-${name}`, topology]),
);

/** The topology a stock script stands for, if any. */
export const topologyNamed = (script = ''): Topology | undefined =>
  byStockScript.get(script.slice(script.lastIndexOf('/') + 1));

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
