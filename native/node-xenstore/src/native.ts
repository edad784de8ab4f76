import { fileURLToPath } from 'node:url';
import ffi from 'ffi-napi';
import ref from 'ref-napi';

// The only C function that this package calls; everything else goes over its socket.
const library = ffi.Library(fileURLToPath(new URL('xenstore-thread.so', import.meta.url)), {
  xenstore_thread_start: ['int', ['string', ref.refType('int')]],
});

/**
 * Starts the thread of one connection.
 * @param path a Unix socket, or null for what libxenstore finds
 * @returns the descriptor of its socket, or the errno of a failure
 */
export function startThread(path: string | null): { fd: number } | { errno: number } {
  const fd = ref.alloc('int');
  const errno = library.xenstore_thread_start(path, fd);
  return errno === 0 ? { fd: fd.deref() } : { errno };
}
