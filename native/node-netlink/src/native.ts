import { endianness } from 'node:os';
import { fileURLToPath } from 'node:url';
import ffi from 'ffi-napi';
import ref from 'ref-napi';

if (endianness() !== 'LE') throw new Error('netlink-thread supports little-endian machines only');

const library = ffi.Library(fileURLToPath(new URL('netlink-thread.so', import.meta.url)), {
  netlink_thread_start: ['int', ['int', 'pointer', 'int', 'int', 'int', ref.refType('int')]],
});

/**
 * Opens a socket and starts the thread that reads it.
 * @returns the descriptor of Node's end, or the errno of a failure
 */
export function startThread(
  protocol: number,
  groups: readonly number[],
  neighbours: number,
  receiveBuffer: number,
): { fd: number } | { errno: number } {
  const fd = ref.alloc('int');
  const list = Buffer.from(Uint32Array.from(groups).buffer);
  const errno = library.netlink_thread_start(
    protocol,
    list as never,
    groups.length,
    neighbours,
    receiveBuffer,
    fd,
  );
  return errno === 0 ? { fd: fd.deref() } : { errno };
}
