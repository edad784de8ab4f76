import { setTimeout as sleep } from 'node:timers/promises';

/** Pause in ms before a table is read again that could not be read for want of memory. */
const pauseMs = 50;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/**
 * Whether a table has to be read again: it changed during its dump (EINTR), notifications overflowed the socket (ENOBUFS),
 * or the kernel lacked memory or was busy, which ends a dump in the middle.
 */
export const isDisturbed = (error: unknown): boolean => disturbed.has(codeOf(error));
const disturbed: ReadonlySet<string> = new Set(['EINTR', 'ENOBUFS', 'ENOMEM', 'EAGAIN', 'EBUSY']);

/** Waits where reading again at once would not help. */
export async function afterPause(error: unknown): Promise<void> {
  if (codeOf(error) !== 'EINTR') await sleep(pauseMs);
}
