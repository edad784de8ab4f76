import ffi from 'ffi-napi';

export { isJournal, journalSend } from './journal.js';
export { takeLock } from './lock.js';
export { peerOf } from './peer.js';

/** Loads the library, at the first use, so that a machine without systemd does not need it. */
const load = () => ffi.Library('libsystemd.so.0', { sd_notify: ['int', ['int', 'string']] });
let library: ReturnType<typeof load> | undefined;

/**
 * Sends a state to the service manager, such as `READY=1\nSTATUS=3 vifs`. A failure is no error, as sd_notify(3) advises.
 * @returns whether it was sent; false where the process was started without a notification socket
 */
export function notify(state: string): boolean {
  if (process.env.NOTIFY_SOCKET === undefined) return false;
  library ??= load();
  return library.sd_notify(0, state) > 0;
}
