import type { Dependency } from '../../model/dependency.js';
import type { Attached, DesiredState } from '../../model/desired.js';
import type { ObservedState } from '../../model/observed.js';
import type { OperationError } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { TopologyName } from '../../model/topology-name.js';

/**
 * What a topology makes of a vif; the name is the same for all. `missing` is what the vif lacks of its full reach (a
 * way out, an address of a family) and goes on without.
 */
export type Attachment =
  | {
      readonly desired: Omit<DesiredState, 'name' | 'filter'> & Required<Pick<DesiredState, 'filter'>>;
      readonly dependsOn: readonly Dependency[];
      readonly missing?: readonly OperationError[];
    }
  | { readonly problem: OperationError; readonly dependsOn: readonly Dependency[] };

/** A way to join a vif to the network, under the name of the stock script that did it. */
export interface Topology {
  readonly name: TopologyName;
  /** Whether it uses the name and the uuid of the guest. */
  readonly wantsGuest?: boolean;
  attach(
    snapshot: VifSnapshot,
    config: VifPolicy,
    observed: ObservedState,
    attached: Attached | undefined,
  ): Attachment;
}
