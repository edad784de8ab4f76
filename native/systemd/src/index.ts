import ffi from 'ffi-napi';

/** Loaded at the first use, so that a machine without systemd does not need the library. */
const load = () => ffi.Library('libsystemd.so.0', { sd_notify: ['int', ['int', 'string']] });
let library: ReturnType<typeof load> | undefined;

/**
 * Tells the service manager a new state, e.g. `READY=1\nSTATUS=3 vifs` (sd_notify(3)).
 * @returns false when nobody asked: the process was not started with a notification socket
 */
export function notify(state: string): boolean {
  if (process.env.NOTIFY_SOCKET === undefined) return false;
  library ??= load();
  const result = library.sd_notify(0, state);
  if (result < 0) throw new Error(`sd_notify failed: errno ${-result}`);
  return result > 0;
}
