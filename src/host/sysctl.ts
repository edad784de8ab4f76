import { readFileSync, writeFileSync } from 'node:fs';
import type { Sysctl } from '../model/sysctl.js';

// Synchronous, because /proc/sys answers from memory: a call takes some 10 µs, an asynchronous one several times that.

/** The value of a sysctl of this network namespace, by its path below /proc/sys; undefined where it does not exist. */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A reader of sysctls that reads each one once. What one look decides and what it plans must not differ, and another program may
 * change one at any moment: what is switched on again would not be noted as begun by vifd.
 */
export function readSysctlsOnce(read = readSysctl): (name: string) => string | undefined {
  const known = new Map<string, string | undefined>();
  return (name) => {
    if (!known.has(name)) known.set(name, read(name));
    return known.get(name);
  };
}

/** Sets a sysctl. @throws when it does not exist, or does not take the value */
export function writeSysctl({ name, value }: Sysctl): void {
  writeFileSync(`/proc/sys/${name}`, value);
}
