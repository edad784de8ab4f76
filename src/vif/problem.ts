/**
 * What an error is about, for counting: a closed set, so that it can be a metric's label. `configuration` is what the
 * guest's keys or ours ask for and nobody can do, `bridge` a bridge that is not there or not fit, `address` one that is
 * another's, `timeout` others who did not do their part in time; the rest say who refused.
 */
export const errorKinds = [
  'configuration',
  'bridge',
  'address',
  'route',
  'openvswitch',
  'filter',
  'dhcp',
  'script',
  'kernel',
  'xenstore',
  'timeout',
  'other',
] as const;

export type ErrorKind = (typeof errorKinds)[number];

/**
 * What went wrong with one vif, as data and as an error that can be thrown. It reads
 * `<operation> <target>: <reason>`, the same words in the journal and in `hotplug-error`:
 * `attach vif5.0 to bridge xenbr1: no such bridge`.
 */
export class OperationError extends Error {
  /** What was tried, e.g. `attach vif5.0 to bridge`. */
  readonly operation: string;
  /** What it was tried on, e.g. `xenbr1`. */
  readonly target: string;
  /** Why it did not work, without the operation. */
  readonly reason: string;
  /** Waits for a change of what it depends on; otherwise it is tried again by a timer. */
  readonly waits: boolean;
  readonly kind: ErrorKind;

  constructor(
    operation: string,
    target: string,
    reason: string,
    options: { waits: boolean; kind?: ErrorKind },
  ) {
    super(`${operation} ${target}: ${reason}`);
    this.name = 'OperationError';
    this.operation = operation;
    this.target = target;
    this.reason = reason;
    this.waits = options.waits;
    this.kind = options.kind ?? 'other';
  }
}

/** What was to be done was planned for another state of the host, and nothing was done: to be planned again at once. */
export class ChangedMeanwhile extends Error {
  /** @param what that has changed, as people call it */
  constructor(what: string) {
    super(`${what} has changed meanwhile`);
    this.name = 'ChangedMeanwhile';
  }
}

/** A problem of input or surroundings: nothing is gained by trying again before something changes. */
export const problem = (
  operation: string,
  target: string,
  reason: string,
  kind: ErrorKind = 'configuration',
): OperationError => new OperationError(operation, target, reason, { waits: true, kind });

/** Any thrown thing as an {@link OperationError}; what is not one already is taken as passing. */
export function asOperationError(
  error: unknown,
  operation: string,
  target: string,
  kind: ErrorKind,
): OperationError {
  if (error instanceof OperationError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new OperationError(operation, target, reason, { waits: false, kind });
}
