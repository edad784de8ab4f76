import { eagain, failed, native } from './native.js';

/**
 * Takes the lock of an open file or directory (flock(2)), which the kernel gives back when the descriptor is closed or the
 * process ends, however it ends.
 * @returns false when another process has it
 * @throws where the file system has no locks
 */
export function takeLock(fd: number): boolean {
  const errno = native().lock_take(fd);
  if (errno !== 0 && errno !== eagain) throw failed('lock', errno);
  return errno === 0;
}
