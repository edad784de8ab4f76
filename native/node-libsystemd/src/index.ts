import { fstatSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import ffi from 'ffi-napi';
import ref from 'ref-napi';

/** Loads the library, at the first use, so that a machine without systemd does not need it. */
const load = () =>
  ffi.Library('libsystemd.so.0', {
    sd_notify: ['int', ['int', 'string']],
    sd_journal_sendv: ['int', ['pointer', 'int']],
  });
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

/** Whether a file descriptor is connected to the journal, by JOURNAL_STREAM (systemd.exec(5)). */
export function isJournal(fd: number): boolean {
  const stream = process.env.JOURNAL_STREAM;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** sizeof(struct iovec) and the offset of its length, on 64-bit machines. */
const iovec = { size: 16, length: 8 };

/**
 * Writes one entry with the given fields (sd_journal_sendv(3)). Names consist of `A-Z`, `0-9` and `_`; a value may be any
 * text, also with newlines.
 * @throws when journald cannot be reached
 */
export function journalSend(fields: Readonly<Record<string, string>>): void {
  library ??= load();
  const parts = Object.entries(fields).map(([name, value]) => Buffer.from(`${name}=${value}`));
  const vector = Buffer.alloc(parts.length * iovec.size);
  for (const [i, part] of parts.entries()) {
    ref.writePointer(vector, i * iovec.size, part);
    ref.writeUInt64LE(vector, i * iovec.size + iovec.length, part.length);
  }
  // `parts` must outlive the call, since the vector holds only their addresses. ffi-napi takes a Buffer as a pointer,
  // though its types do not say so.
  const result = library.sd_journal_sendv(vector as unknown as ref.Pointer<unknown>, parts.length);
  if (result < 0 || parts.length === 0) throw new Error(`sd_journal_sendv: ${getSystemErrorName(result)}`);
}

/** SOL_SOCKET and SO_PEERCRED (asm-generic/socket.h). */
const peerCredentials = { level: 1, name: 17 };

/** The libc, which every process of Node has. */
const loadLibc = () =>
  ffi.Library(null, { getsockopt: ['int', ['int', 'int', 'int', 'pointer', 'pointer']] });
let libc: ReturnType<typeof loadLibc> | undefined;

/** The process at the other end of a Unix socket, as it was when it connected (SO_PEERCRED, unix(7)). @throws where the kernel tells none */
export function peerOf(fd: number): { readonly pid: number; readonly uid: number } {
  libc ??= loadLibc();
  // struct ucred: pid, uid, gid.
  const credentials = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(credentials.length);
  const { level, name } = peerCredentials;
  const pointer = (buffer: Buffer): ref.Pointer<unknown> => buffer as unknown as ref.Pointer<unknown>;
  if (libc.getsockopt(fd, level, name, pointer(credentials), pointer(length)) !== 0)
    throw new Error(`getsockopt of ${fd}: SO_PEERCRED is refused`);
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) };
}
