import { XenstoreError } from 'node-xenstore';

/** For `catch`: the error, where xenstored answered with it; any other is thrown. */
export function refusal(error: unknown): XenstoreError {
  if (error instanceof XenstoreError && error.code !== 'ENOTCONN') return error;
  throw error;
}
