import type { Config } from '../config.js';
import type { Attachment } from '../vif/desired.js';
import type { ObservedState } from '../vif/observed.js';
import type { OperationError } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import { bridge } from './bridge.js';
import { nat } from './nat.js';
import { openvswitch } from './openvswitch.js';
import { route } from './route.js';
import { type OperatorScript, operatorScript } from './script.js';

/** A way to join a vif to the network, under the name of the stock script that did it. */
export interface Topology {
  readonly name: string;
  attach(snapshot: VifSnapshot, config: Config, observed: ObservedState): Attachment;
}

const topologies: ReadonlyMap<string, Topology> = new Map([
  ['vif-bridge', bridge],
  ['vif-route', route],
  ['vif-nat', nat],
  ['vif-openvswitch', openvswitch],
]);

/** The topology a script stands for, if any. */
export const topologyNamed = (script = ''): Topology | undefined =>
  topologies.get(script.slice(script.lastIndexOf('/') + 1));

/** The names `[scripts.map]` can choose from. */
export const topologyNames: readonly string[] = [...topologies.values()].map(({ name }) => name);

/**
 * The topology a vif asks for by the file name of its `script`, whose directory does not matter; else the operator's
 * own script.
 */
export function topologyOf(
  snapshot: VifSnapshot,
  { scripts }: Config,
): Topology | OperatorScript | { readonly problem: OperationError } {
  const script = snapshot.script ?? '';
  const name = script.slice(script.lastIndexOf('/') + 1);
  const mapped = scripts.map.get(name);
  const topology = [...topologies].find(([stock, { name: ours }]) =>
    mapped === undefined ? stock === name : ours === mapped,
  );
  return topology?.[1] ?? operatorScript(snapshot, scripts, [...topologies.keys()]);
}
