import { closeSync, fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { takeLock } from 'node-libsystemd';
import { runtimeDir } from './runtime-dir.js';

/**
 * The lock of the runtime directory: two daemons would undo each other's work. The directory itself has it, which takes no
 * file, so that a full or read-only /run is no obstacle.
 */
export class RuntimeLock {
  #fd: number;

  private constructor() {
    this.#fd = openLocked();
  }

  /** @throws when another daemon has it */
  static take(): RuntimeLock {
    return new RuntimeLock();
  }

  /** Takes it again where the directory has been deleted, and makes that again. @throws when another daemon has it by now */
  keep(): void {
    const { ino } = fstatSync(this.#fd);
    if (statSync(runtimeDir(), { throwIfNoEntry: false })?.ino === ino) return;
    const fd = openLocked();
    closeSync(this.#fd);
    this.#fd = fd;
  }

  release(): void {
    closeSync(this.#fd);
  }
}

function openLocked(): number {
  const directory = runtimeDir();
  // As the unit has it: dnsmasq, which is not root when it reads its files, must get through.
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const fd = openSync(directory, 'r');
  if (takeLock(fd)) return fd;
  closeSync(fd);
  throw new Error(`vifd runs already: another process has the lock of ${directory}`);
}
