import { closeSync, mkdirSync, openSync } from 'node:fs';
import { takeLock } from 'node-libsystemd';
import { runtimeDir } from './runtime-dir.js';

/**
 * Takes the lock of the runtime directory: two daemons would undo each other's work. The directory itself has it, which
 * takes no file, so that a full or read-only /run is no obstacle.
 * @returns a function that gives it back
 * @throws when another daemon has it
 */
export function lockRuntimeDir(): () => void {
  const directory = runtimeDir();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fd = openSync(directory, 'r');
  if (takeLock(fd)) return () => closeSync(fd);
  closeSync(fd);
  throw new Error(`vifd runs already: another process has the lock of ${directory}`);
}
