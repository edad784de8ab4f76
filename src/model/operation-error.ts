import { type ErrorCode, type ErrorKind, errorCodes } from './error-codes.js';

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
  /** Stable, to search by and to count by; {@link errorCodes} says what it means. */
  readonly code: ErrorCode;
  /** Waits for a change of what it depends on; otherwise it is tried again by a timer. */
  readonly waits: boolean;

  constructor(
    code: ErrorCode,
    operation: string,
    target: string,
    reason: string,
    { waits }: { waits: boolean },
  ) {
    super(`${operation} ${target}: ${reason}`);
    this.name = 'OperationError';
    this.code = code;
    this.operation = operation;
    this.target = target;
    this.reason = reason;
    this.waits = waits;
  }

  get kind(): ErrorKind {
    return errorCodes[this.code].kind;
  }
}

/** An error as data: its sentence, with the code to search by and the kind to count by. */
export interface Problem {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly message: string;
}

export const problemOf = ({ code, kind, message }: OperationError): Problem => ({ code, kind, message });

/** What was to be done was planned for another state of the host, and was not done, or in part: to be planned again at once. */
export class ChangedMeanwhile extends Error {
  /** @param what that has changed, as people call it */
  constructor(what: string) {
    super(`${what} has changed meanwhile`);
    this.name = 'ChangedMeanwhile';
  }
}

/** A problem of input or surroundings: nothing is gained by trying again before something changes. */
export const problem = (code: ErrorCode, operation: string, target: string, reason: string): OperationError =>
  new OperationError(code, operation, target, reason, { waits: true });

/** Any thrown thing as an {@link OperationError}; what is not one already is taken as passing. */
export function asOperationError(
  error: unknown,
  code: ErrorCode,
  operation: string,
  target: string,
): OperationError {
  if (error instanceof OperationError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new OperationError(code, operation, target, reason, { waits: false });
}
