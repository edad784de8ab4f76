import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// The inputs that have found something new, one a line in JSON, each character a byte.

const fileOf = (target: string): string => fileURLToPath(new URL(`corpus/${target}.jsonl`, import.meta.url));

export const readCorpus = (target: string): Buffer[] =>
  existsSync(fileOf(target))
    ? readFileSync(fileOf(target), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => Buffer.from(JSON.parse(line) as string, 'latin1'))
    : [];

export function writeCorpus(target: string, inputs: readonly Buffer[]): void {
  const lines = inputs.map((input) => `${printed(input)}\n`).sort();
  writeFileSync(fileOf(target), lines.join(''));
}

/** An input as a line of the corpus, in ASCII. */
export const printed = (input: Buffer): string =>
  JSON.stringify(input.toString('latin1')).replace(
    /[\u007f-\u00ff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
