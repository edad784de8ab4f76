import type { Dependency } from './dependency.js';
import type { DesiredState } from './desired.js';
import type { FilterSpec } from './filter.js';
import type { OperationError } from './operation-error.js';
import type { DesiredScript } from './script.js';
import type { TopologyName } from './topology-name.js';

/** The whole decision about one vif. */
export type Verdict =
  /** Attach it, or keep it attached. */
  | {
      readonly kind: 'attach';
      readonly topology: TopologyName;
      readonly desired: DesiredState;
      readonly dependsOn: readonly Dependency[];
      /** What it lacks, and works without. */
      readonly missing: readonly OperationError[];
    }
  /** An operator's script attaches it; everything but running that, and the filter, is out of our hands. */
  | {
      readonly kind: 'script';
      readonly script: DesiredScript;
      readonly filter: FilterSpec | undefined;
      /** No frame passes, in either direction. */
      readonly blocked: boolean;
      readonly dependsOn: readonly Dependency[];
    }
  /** It cannot be attached: keep it off the network and say why. */
  | { readonly kind: 'refuse'; readonly problem: OperationError; readonly dependsOn: readonly Dependency[] }
  /** netback has not made the netdev yet, or took it away: nothing to do until it comes. */
  | {
      readonly kind: 'await-netdev';
      /** What is going to be desired of it, as far as that is known without the netdev; undefined for an operator's script. */
      readonly desired: DesiredState | undefined;
      readonly filter: FilterSpec | undefined;
      readonly dependsOn: readonly Dependency[];
    }
  /** dom0 takes it away and netback is still closing: hands off. */
  | { readonly kind: 'closing' }
  /** It is gone, or may go: undo what was done on the host; `directory` says whether the backend is left to delete. */
  | { readonly kind: 'remove'; readonly directory: boolean };
