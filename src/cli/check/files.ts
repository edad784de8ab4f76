import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Files with their paths and texts. */
export type Files = readonly { readonly path: string; readonly text: string }[];

/** Whether a file or directory is there. */
export function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The text of a file; undefined where it cannot be read. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The names in a directory; empty where it cannot be read. */
export function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The files with this suffix in directories; of files of one name the first directory's is used, as systemd does. */
export function files(directories: readonly string[], suffix: string): Files {
  const found = new Map<string, { path: string; text: string }>();
  for (const directory of directories) {
    for (const name of list(directory).filter((one) => one.endsWith(suffix) && !found.has(one))) {
      found.set(name, { path: join(directory, name), text: read(join(directory, name)) ?? '' });
    }
  }
  return [...found.values()];
}

/** The command lines of running processes. */
export const processes = (): string[] =>
  list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim())
    .filter(Boolean);

/** The values of sysctls, named as sysctl(8) has them; undefined where there is none. */
export const sysctls = (names: readonly string[]): Record<string, string | undefined> =>
  Object.fromEntries(names.map((name) => [name, read(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim()]));

/** Whether a file may be executed. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether a program is installed. */
export function inPath(program: string): boolean {
  // A service's PATH often lacks sbin.
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
