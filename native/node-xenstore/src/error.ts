import { constants } from 'node:os';

// Of two names for a number the first is used: EAGAIN, not EWOULDBLOCK.
const numbers: [name: string, errno: number][] = Object.entries(constants.errno);
const names = new Map(numbers.reverse().map(([name, errno]) => [errno, name]));

const causes: Record<string, string> = {
  E2BIG: 'too large for one message',
  EACCES: 'permission denied',
  EAGAIN: 'another transaction changed the same nodes, at every attempt',
  EINVAL: 'xenstored calls it invalid',
  ENOENT: 'no such path',
  ENOSPC: 'no space left in the quota',
  ENOTCONN: 'the connection to xenstored is lost',
  ESTALE: 'the value is not the expected one',
};

/** Why an operation failed. The message reads `<operation> <path>: <cause> (<code>)`. */
export class XenstoreError extends Error {
  override readonly name = 'XenstoreError';
  /** The method's name, such as `read`; inside of a commit the operation's. */
  readonly operation: string;
  /** The path it was about, as the caller wrote it. */
  readonly path: string | undefined;
  /**
   * The errno by name: ENOENT, EACCES, EINVAL for arguments, EAGAIN for a transaction that never got through,
   * ESTALE for a value that was not the expected one, ENOTCONN once the connection is lost or closed.
   */
  readonly code: string;
  /**
   * Whether a quota of the calling domain is the cause: such operations fail until nodes, watches or transactions are
   * released. xenstored answers ENOSPC; oxenstored answers EQUOTA, which libxenstore does not know and turns into EINVAL.
   * Since arguments are checked before anything is sent, an EINVAL for an operation that takes space means this.
   * (oxenstored also limits the requests of a transaction, to 1024 by default, and answers EQUOTA to any further one: for
   * a read or removal that stays a plain EINVAL here.)
   */
  readonly quota: boolean;

  constructor(
    operation: string,
    path: string | undefined,
    code: string,
    options: { cause?: string; quota?: boolean } = {},
  ) {
    const quota = options.quota ?? false;
    const cause = options.cause ?? (quota ? 'a quota of xenstored is exhausted' : causes[code]);
    const subject = path === undefined ? operation : `${operation} ${path}`;
    super(cause === undefined ? `${subject}: ${code}` : `${subject}: ${cause} (${code})`);
    this.operation = operation;
    this.path = path;
    this.code = code;
    this.quota = quota;
  }
}

/** The operations that take space in the store, and that a quota can refuse; a commit may be refused at its end. */
const takesSpace = new Set(['write', 'mkdir', 'setPermissions', 'watch', 'transaction', 'commit']);

/** The error for an errno that libxenstore gave for an operation with valid arguments. */
export function failed(
  operation: string,
  path: string | undefined,
  errno: number,
  cause?: string,
): XenstoreError {
  const code = names.get(errno) ?? `errno ${errno}`;
  const refusals = ['ENOSPC', 'EDQUOT', 'EINVAL', 'E2BIG'];
  const quota = takesSpace.has(operation) && refusals.includes(code);
  return new XenstoreError(operation, path, code, cause === undefined ? { quota } : { quota, cause });
}
