import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = readFileSync(
  fileURLToPath(new URL('../../../docs/operate/security.md', import.meta.url)),
  'utf8',
);

/** A column of the table of frames in docs/operate/security.md: each frame and whether it arrives. */
export function expectedFrames(
  column: 'on a bridge' | 'on Open vSwitch' | 'vif-route' | 'vif-nat',
): Map<string, string> {
  const [, head = '', table = ''] = /<!-- tried -->\n\n([^\n]*)\n[^\n]*\n(.*?)\n\n/s.exec(page) ?? [];
  const cells = (row: string): string[] => row.split('|').map((cell) => cell.trim());
  const at = cells(head).indexOf(column);
  return new Map(table.split('\n').map((row) => [cells(row)[1] ?? '', cells(row)[at] ?? '']));
}
