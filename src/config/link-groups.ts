import { readdirSync, readFileSync } from 'node:fs';

/** Where ip(8) looks names up, the first that has one deciding: the administrator's files, and since iproute2 6.5 the distribution's. */
const files = (): string[] => [
  '/etc/iproute2/group',
  ...inDirectory('/etc/iproute2/group.d'),
  '/usr/share/iproute2/group',
];

/** The number of a group of netdevs by its name; undefined where no file has it. */
export function linkGroupNamed(name: string): number | undefined {
  for (const file of files()) {
    const found = groupIn(textOf(file), name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The number of a name in a file with a number and a name a line, and comments. */
export function groupIn(text: string, name: string): number | undefined {
  for (const line of text.split('\n')) {
    const [number = '', found] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (found === name && /^(\d{1,10}|0x[\da-f]{1,8})$/i.test(number)) return Number(number);
  }
  return undefined;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function inDirectory(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => `${directory}/${name}`);
  } catch {
    return [];
  }
}
