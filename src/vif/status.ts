import type { OperationError } from './problem.js';
import type { VifSnapshot } from './snapshot.js';

/** How the attempt ended which the verdict asked for. */
export type Outcome =
  | { readonly kind: 'attached'; readonly mtu: number }
  | { readonly kind: 'failed'; readonly problem: OperationError };

/** What to write into the backend directory, in one transaction; undefined removes the key. */
export interface StatusWrites {
  readonly backend: Readonly<Partial<Record<'hotplug-status' | 'hotplug-error', string | undefined>>>;
  /** For the frontend's `mtu`, which libxl lets us write so that the guest learns it. */
  readonly frontendMtu: number | undefined;
}

/** netback compares these nine bytes exactly before it goes to state 4 (drivers/net/xen-netback/xenbus.c). */
const connected = 'connected';

/** Longest text for `hotplug-error`; a value may have 2048 bytes before a domain's quota bites. */
const errorLength = 1024;

/**
 * What xenstore has to be told, given what it says already. `hotplug-status` is never removed: netback would leave a
 * reconnecting backend in InitWait for ever (Linux c55f34b6aec2).
 */
export function status(snapshot: VifSnapshot, outcome: Outcome): StatusWrites {
  if (outcome.kind === 'failed') {
    const text = outcome.problem.message.slice(0, errorLength);
    return {
      backend: {
        ...(snapshot.hotplugError === text ? {} : { 'hotplug-error': text }),
        ...(snapshot.hotplugStatus === 'error' ? {} : { 'hotplug-status': 'error' }),
      },
      frontendMtu: undefined,
    };
  }
  return {
    backend: {
      ...(snapshot.hotplugError === undefined ? {} : { 'hotplug-error': undefined }),
      ...(snapshot.hotplugStatus === connected ? {} : { 'hotplug-status': connected }),
    },
    frontendMtu: snapshot.frontendMtu === outcome.mtu ? undefined : outcome.mtu,
  };
}
