import { formatNetwork } from '../../model/address.js';
import { printLimits } from '../../model/limits.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import type { Step } from '../../reconcile/next.js';
import { outlook } from '../outlook.js';
import type { TrafficRate } from '../rate.js';

/** How a vif stands, by what a daemon that starts now would do for it; `pending` is one for which something is to be changed. */
export type DrawnState = 'attached' | 'degraded' | 'blocked' | 'pending' | 'waiting' | 'failed' | 'closing';

/** What a drawing says of a vif beside how it is joined. */
export interface VifDetails {
  readonly vif: string;
  /** The name of its netdev, where that is another. */
  readonly netdev?: string | undefined;
  readonly state: DrawnState;
  /** Why it is in that state, and what it goes without; a sentence each. */
  readonly why: readonly string[];
  readonly addresses: readonly string[];
  /** As printLimits says them. */
  readonly limits: readonly string[];
  readonly rate?: TrafficRate | undefined;
}

/** The details of a vif with these keys, by its next step and the rate that was measured. */
export function detailsOf(keys: VifSnapshot, step: Step, rate: TrafficRate | undefined): VifDetails {
  const { verdict } = step;
  const { problem, waitsFor, missing } = outlook(keys.id, step);
  const desired = verdict.kind === 'attach' ? verdict.desired : undefined;
  const filter = verdict.kind === 'script' ? verdict.filter : desired?.filter;
  // Where the keys have none, the addresses that the topology has chosen, as `vifd status` shows them.
  const addresses = keys.ip.length > 0 ? keys.ip : (desired?.ip?.routes.map(({ to }) => to) ?? []);
  const vif = vifName(keys.id);
  return {
    vif,
    netdev: keys.vifname === vif ? undefined : keys.vifname,
    state: stateOf(keys, step),
    why: [problem ?? waitsFor, ...missing].flatMap((one) => one?.message ?? []),
    addresses: addresses.map(formatNetwork),
    limits: printLimits(filter?.limits ?? {}),
    rate,
  };
}

function stateOf(keys: VifSnapshot, step: Step): DrawnState {
  const up = keys.blocked ? 'blocked' : 'attached';
  switch (step.kind) {
    case 'attached':
      return up === 'attached' && step.missing.length > 0 ? 'degraded' : up;
    case 'script':
      if (step.failure !== undefined) return 'failed';
      return step.silence !== undefined ? 'waiting' : step.run.state === 'running' ? 'pending' : up;
    case 'change':
      return step.verdict.kind === 'refuse'
        ? 'failed'
        : step.verdict.kind === 'remove'
          ? 'closing'
          : 'pending';
    case 'start-script':
      return 'pending';
    case 'wait':
      return 'waiting';
    case 'fail':
      return 'failed';
    case 'closing':
    case 'remove':
      return 'closing';
  }
}
