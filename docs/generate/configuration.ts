import { sections } from '../../src/config/keys.js';
import type { Key, Section } from '../../src/config/section.js';

const all: readonly [string, Section][] = Object.entries(sections);

const headOf = (name: string, { isRepeated }: Section): string => (isRepeated ? `[[${name}]]` : `[${name}]`);

/** A value as TOML has it, on one line. */
export function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, one]) => `${key} = ${toml(one)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

/** What a key takes, and what holds without it where that is no value. */
const takes = ({ expected, otherwise }: Key): string[] => [
  `Takes ${expected}.`,
  ...(otherwise === undefined ? [] : [`Default: ${otherwise}.`]),
];

/** A text in lines of at most so many characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** `systemd/etc/vifd.toml`, where every key is a comment: behind "#" with its default, behind "# " with an example. */
export function exampleFile(): string {
  const comment = (text: string): string[] => wrap(text, 118).map((line) => `# ${line}`);
  const keyLines = ([name, key]: [string, Key]): string[] => {
    const setting =
      key.example === undefined ? `#${name} = ${toml(key.default)}` : `# ${name} = ${toml(key.example)}`;
    return [...comment(key.sentence), ...comment(takes(key).join(' ')), setting];
  };
  const sectionLines = ([name, section]: [string, Section]): string[] => [
    '',
    ...(section.sentence === undefined ? [] : comment(section.sentence)),
    `${section.isRepeated ? '# ' : ''}${headOf(name, section)}`,
    ...Object.entries(section.keys).flatMap(keyLines),
  ];
  const lines = [
    ...comment(
      'vifd: see vifd.toml(5). A key that stands here behind a # has its default, one behind "# " is an example.',
    ),
    ...comment('"systemctl reload vifd" applies a change, and touches only what it changes.'),
    ...all.flatMap(sectionLines),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** The sections and keys of vifd.toml(5), in mdoc. */
export function manualList(): string {
  const text = (sentence: string): string[] =>
    wrap(sentence, 118).map((line) => line.replaceAll('\\', '\\e').replace(/^(?=[.'])/, '\\&'));
  const keyLines = ([name, key]: [string, Key]): string[] => [
    `.It Ic ${name}${key.default === undefined ? '' : ` No = ${mdoc(key.default)}`}`,
    ...[key.sentence, ...takes(key)].flatMap(text),
  ];
  const sectionLines = ([name, section]: [string, Section]): string[] => [
    `.Ss ${headOf(name, section)}`,
    ...(section.sentence === undefined ? [] : text(section.sentence)),
    '.Bl -tag -width Ds',
    ...Object.entries(section.keys).flatMap(keyLines),
    '.El',
  ];
  return all
    .flatMap(sectionLines)
    .map((line) => `${line}\n`)
    .join('');
}

/** A value as arguments of an mdoc macro. */
function mdoc(value: unknown): string {
  if (typeof value === 'string') return `Qq ${value}`;
  return Array.isArray(value) ? ['Bq', ...value.map(mdoc)].join(' ') : toml(value);
}

/** The tables of docs/reference/configuration.md, one a section. */
export function referenceTables(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
  const row = ([name, key]: [string, Key]): string =>
    `| \`${name}\` | ${cell(key.expected)} | ${key.default === undefined ? cell(key.otherwise ?? '') : `\`${toml(key.default)}\``} | ${cell(key.sentence)} |\n`;
  const table = ([name, section]: [string, Section]): string =>
    [
      `\n## \`${headOf(name, section)}\`\n\n`,
      section.sentence === undefined ? '' : `${section.sentence}\n\n`,
      '| key | takes | default | meaning |\n|---|---|---|---|\n',
      ...Object.entries(section.keys).map(row),
    ].join('');
  return `${all.map(table).join('')}\n`;
}
