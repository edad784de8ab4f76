import type { OperationError } from '../model/operation-error.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { StatusWrites } from '../model/status-writes.js';

/** How the attempt ended which the verdict asked for. */
export type Outcome =
  | { readonly kind: 'attached'; readonly mtu: number }
  | { readonly kind: 'failed'; readonly problem: OperationError }
  /** An operator's script is about to run, and will tell by itself. */
  | { readonly kind: 'script-starts' };

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
    const { message, reason } = outcome.problem;
    // An operator's script has said it itself.
    if (snapshot.hotplugStatus === 'error' && snapshot.hotplugError === reason) {
      return { backend: {}, frontendMtu: undefined };
    }
    const text = message.slice(0, errorLength);
    return {
      backend: {
        ...(snapshot.hotplugError === text ? {} : { 'hotplug-error': text }),
        ...(snapshot.hotplugStatus === 'error' ? {} : { 'hotplug-status': 'error' }),
      },
      frontendMtu: undefined,
    };
  }
  if (outcome.kind === 'script-starts') {
    // As libxl leaves it at birth; an error would be taken for the script's own.
    const clean = snapshot.hotplugStatus !== 'error' && snapshot.hotplugError === undefined;
    return {
      backend: clean ? {} : { 'hotplug-error': undefined, 'hotplug-status': '' },
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
