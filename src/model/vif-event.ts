import type { ErrorCode, ErrorKind } from './error-codes.js';
import type { Problem } from './operation-error.js';

/** What can happen to a vif. */
export type EventKind =
  | 'attached'
  | 'adopted'
  | 'repaired'
  | 'updated'
  | 'degraded'
  | 'recovered'
  | 'failed'
  | 'removed'
  | 'blocked'
  | 'allowed';

/** What is told of an event besides its kind and its vif. Undefined fields are left out. */
export interface EventDetail {
  readonly topology?: string | undefined;
  readonly bridge?: string | undefined;
  readonly vifname?: string | undefined;
  readonly mtu?: number | undefined;
  /** From the event that made it possible to the status written, in ms. */
  readonly ms?: number | undefined;
  readonly error?: string | undefined;
  readonly errorKind?: ErrorKind | undefined;
  readonly errorCode?: ErrorCode | undefined;
  /** What the vif lacks and goes on without, a sentence each. */
  readonly missing?: readonly string[] | undefined;
  /** The same with codes; `isNew` where it did not lack that before. */
  readonly problems?: readonly (Problem & { readonly isNew: boolean })[] | undefined;
  /** The user that asked for it. */
  readonly by?: string | undefined;
  /** The changes made, as commands. */
  readonly actions?: readonly string[] | undefined;
}
