import { readFileSync, writeFileSync } from 'node:fs';
import type { Sysctl } from '../model/sysctl.js';

// /proc/sys answers from memory: a synchronous call costs some 10 µs, an asynchronous one several times that.

/** A sysctl of this network namespace, by its path below /proc/sys; undefined where there is none. */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** @throws where there is no such sysctl, or it takes no such value */
export function writeSysctl({ name, value }: Sysctl): void {
  writeFileSync(`/proc/sys/${name}`, value);
}
