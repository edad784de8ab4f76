import { readFileSync } from 'node:fs';
import type { Traffic } from '../model/observed.js';

/** What every netdev of this network namespace has counted, by its name: one file, where sysfs has one for each counter. */
export function readTraffic(): ReadonlyMap<string, Traffic> {
  return parseTraffic(readFileSync('/proc/self/net/dev', 'utf8'));
}

/** Parses /proc/net/dev: after two lines of headings a name, a colon, eight columns of what came in and eight of what went out. */
export function parseTraffic(text: string): Map<string, Traffic> {
  const lines = text.split('\n').slice(2);
  return new Map(
    lines.flatMap((line): [string, Traffic][] => {
      const colon = line.indexOf(':');
      if (colon < 0) return [];
      const counters = line
        .slice(colon + 1)
        .trim()
        .split(/ +/)
        .map(Number);
      const [rxBytes = 0, rxPackets = 0, , rxDropped = 0] = counters;
      const [txBytes = 0, txPackets = 0, , txDropped = 0] = counters.slice(8);
      return [
        [line.slice(0, colon).trim(), { rxBytes, rxPackets, rxDropped, txBytes, txPackets, txDropped }],
      ];
    }),
  );
}
