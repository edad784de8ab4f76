import { fstatSync } from 'node:fs';
import { eagain, failed, native } from './native.js';

/** Whether a file descriptor is connected to the journal, by JOURNAL_STREAM (systemd.exec(5)). */
export function isJournal(fd: number): boolean {
  const stream = process.env.JOURNAL_STREAM;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** The fields of an entry by name: one value, or several, each of which is a field of that name. */
type JournalFields = Readonly<Record<string, string | readonly string[]>>;

/** Where journald takes entries in its native protocol. */
const socket = '/run/systemd/journal/socket';

/**
 * Writes one entry with the given fields. Names consist of `A-Z`, `0-9` and `_`; a value may be any text, also with
 * newlines. Never waits, unlike sd_journal_sendv(3), which blocks while a journald that is stopped has a full queue.
 * @returns false when journald takes no entry now
 * @throws when journald cannot be reached
 */
export function journalSend(fields: JournalFields): boolean {
  const entry = encode(fields);
  // ffi-napi takes a Buffer as a pointer, though its types do not say so.
  const errno = native().journal_send(socket, entry as never, entry.length);
  if (errno !== 0 && errno !== eagain) throw failed('send to the journal', errno);
  return errno === 0;
}

/** The native protocol: `NAME=value`, or where the value has newlines the name, its length in 64 bits, and the value. */
function encode(fields: JournalFields): Buffer {
  const all = Object.entries(fields).flatMap(([name, values]) =>
    (typeof values === 'string' ? [values] : values).map((value) => [name, value] as const),
  );
  const parts = all.flatMap(([name, value]) => {
    if (!value.includes('\n')) return [Buffer.from(`${name}=${value}\n`)];
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return [Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')];
  });
  return Buffer.concat(parts);
}
