import { exampleFile, manualList, referenceTables } from './configuration.js';
import { errorTables } from './errors.js';
import { metricTables } from './metrics.js';

/** A file of this repository that is made, in whole or in part, from the sources. */
export interface GeneratedFile {
  /** Relative to the top of the repository. */
  readonly file: string;
  /** What it has to hold. @param current what it holds, of which a part made by hand is kept */
  readonly make: (current: string) => string;
}

const keys = 'src/config/keys.ts';

/** All that `npm run generate` writes, and that a unit test compares. */
export const generatedFiles: readonly GeneratedFile[] = [
  { file: 'systemd/etc/vifd.toml', make: exampleFile },
  { file: 'docs/man/vifd.toml.5', make: between('.\\" {}', keys, manualList) },
  { file: 'docs/reference/configuration.md', make: between('<!-- {} -->', keys, referenceTables) },
  { file: 'docs/reference/errors.md', make: between('<!-- {} -->', 'src/model/error-codes.ts', errorTables) },
  {
    file: 'docs/reference/metrics.md',
    make: between('<!-- {} -->', 'src/observe/metric-table.ts', metricTables),
  },
];

/**
 * Replaces what stands between two lines of comment.
 * @param comment how a comment is written, `{}` for its text
 * @param source the file that it is made from
 */
function between(comment: string, source: string, make: () => string): GeneratedFile['make'] {
  const begin = `${comment.replace('{}', `Made by "npm run generate" from ${source}:`)}\n`;
  const end = `${comment.replace('{}', 'End of what is generated.')}\n`;
  return (current) => {
    const [head, rest, ...more] = current.split(begin);
    const [, tail, ...others] = (rest ?? '').split(end);
    if (head === undefined || tail === undefined || more.length + others.length > 0) {
      throw new Error(`there must be one line ${begin.trimEnd()} and below it one line ${end.trimEnd()}`);
    }
    return `${head}${begin}${make()}${end}${tail}`;
  };
}
