import ffi from 'ffi-napi';
import type ref from 'ref-napi';

/** SOL_SOCKET and SO_PEERCRED (asm-generic/socket.h). */
const peerCredentials = { level: 1, name: 17 };

/** The libc, which every process of Node has. */
const load = () => ffi.Library(null, { getsockopt: ['int', ['int', 'int', 'int', 'pointer', 'pointer']] });
let libc: ReturnType<typeof load> | undefined;

/** The process at the other end of a Unix socket, as it was when it connected (SO_PEERCRED, unix(7)). @throws where the kernel tells none */
export function peerOf(fd: number): { readonly pid: number; readonly uid: number } {
  libc ??= load();
  // struct ucred: pid, uid, gid.
  const credentials = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(credentials.length);
  const { level, name } = peerCredentials;
  // ffi-napi takes a Buffer as a pointer, though its types do not say so.
  const pointer = (buffer: Buffer): ref.Pointer<unknown> => buffer as unknown as ref.Pointer<unknown>;
  if (libc.getsockopt(fd, level, name, pointer(credentials), pointer(length)) !== 0)
    throw new Error(`getsockopt of ${fd}: SO_PEERCRED is refused`);
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) };
}
