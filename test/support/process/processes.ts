import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** The processes that have this word on their command line. */
export const processesWith = (word: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => wordsOf(pid).includes(word));

/** The command line of a process; empty for one that has ended, waited for or not. */
export function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** The children of a process, of all its threads. */
export function childrenOf(pid: number): number[] {
  if (!existsSync(`/proc/${pid}`)) return [];
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}
