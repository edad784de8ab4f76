import { constants } from 'node:os';

// The first of two names for a number is to win: EAGAIN, not EWOULDBLOCK.
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
   * Whether a quota of the calling domain is the cause: more of the same will fail too, until nodes, watches or
   * transactions are given back. ENOSPC in xenstored; oxenstored's word for it, EQUOTA, is not in libxenstore's
   * vocabulary and arrives as EINVAL. Since arguments are checked before anything is sent, an EINVAL for something
   * that takes space means this. (oxenstored also bounds the requests of a transaction, at 1024 by default, and then
   * answers EQUOTA to whatever comes next: on a read or removal that stays a plain EINVAL here.)
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

/** What takes space in the store, and so is refused when there is none. A commit may also find it out at its end. */
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
