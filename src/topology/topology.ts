import type { Config } from '../config.js';
import type { Attachment } from '../vif/desired.js';
import { vifName } from '../vif/id.js';
import type { ObservedState } from '../vif/observed.js';
import { type OperationError, problem } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import { bridge } from './bridge.js';
import { openvswitch } from './openvswitch.js';

/** A way to join a vif to the network, under the name of the stock script that did it. */
export interface Topology {
  readonly name: string;
  attach(snapshot: VifSnapshot, config: Config, observed: ObservedState): Attachment;
}

const topologies: ReadonlyMap<string, Topology> = new Map([
  ['vif-bridge', bridge],
  ['vif-openvswitch', openvswitch],
]);

/** The topology a script stands for, if any. */
export const topologyNamed = (script = ''): Topology | undefined =>
  topologies.get(script.slice(script.lastIndexOf('/') + 1));

/** The topology a vif asks for by the file name of its `script`; the directory does not matter. */
export function topologyOf(snapshot: VifSnapshot): Topology | { readonly problem: OperationError } {
  const script = snapshot.script ?? '';
  return (
    topologyNamed(script) ?? {
      problem: problem(
        `choose the topology of ${vifName(snapshot.id)} by script`,
        script,
        `its file name is none of ${[...topologies.keys()].join(', ')}`,
      ),
    }
  );
}
