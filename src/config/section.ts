import type { Place } from './error.js';
import { isTable, type Kind } from './kinds.js';

/** A key, or a section of keys: anything that has a name in the file and can be read. */
interface Entry<Value> {
  /** @param value undefined when it is absent. @throws ConfigError */
  readonly read: (value: unknown, at: Place) => Value;
}

/** The declaration of a key, from which parser, example file and documents are made. */
export interface Key<Value = unknown> extends Entry<Value> {
  /** Its documentation in one sentence, with the unit of a number. */
  readonly sentence: string;
  /** The values that it takes, as text. */
  readonly expected: string;
  /** The default as written in the file; a key without one has `otherwise`. */
  readonly default?: unknown;
  /** What applies when the key is absent. */
  readonly otherwise?: string;
  /** A value as written in the file, which the example file shows instead of the default. */
  readonly example?: unknown;
  /** Whether the section's table is refused without it. */
  readonly isNeeded?: boolean;
}

/** A section `[name]`, or `[[name]]`, which may be repeated. */
export interface Section<Value = unknown> extends Entry<Value> {
  readonly isRepeated: boolean;
  /** Documentation of the section as a whole. */
  readonly sentence?: string;
  readonly keys: Readonly<Record<string, Key>>;
}

/** Declares a key that has a default. `default` and `example` are values as written in the file. */
export function key<Value, Written>(
  kind: Kind<Value, Written>,
  told: { sentence: string; default: NoInfer<Written>; example?: NoInfer<Written> },
): Key<Value>;
/** Declares a key that has no default: `otherwise` says what applies without it. */
export function key<Value, Written>(
  kind: Kind<Value, Written>,
  told: { sentence: string; otherwise: string; example: NoInfer<Written> },
): Key<Value | undefined>;
export function key(
  { expected, read }: Kind<unknown>,
  told: Pick<Key, 'sentence' | 'default' | 'otherwise' | 'example'>,
): Key {
  return {
    ...told,
    expected,
    read: (value = told.default, at) => (value === undefined ? undefined : read(value, at)),
  };
}

/** Declares a key of a section that is refused without it. */
export const needed = <Value, Written>(
  { expected, read }: Kind<Value, Written>,
  told: { sentence: string; example: NoInfer<Written> },
): Key<Value> => ({
  ...told,
  expected,
  otherwise: 'it has to be given',
  isNeeded: true,
  read: (value, at) =>
    value === undefined ? at.refuse(`is missing; it takes ${expected}`) : read(value, at),
});

/** Declares a section `[name]`. */
export const section = <Keys extends Section['keys']>(keys: Keys): Section<Values<Keys>> => ({
  isRepeated: false,
  keys,
  read: (value, at) => readTable(keys, value ?? {}, at),
});

/** Declares a section `[[name]]`. A key that is absent is left out of the table's settings. */
export const repeated = <Keys extends Section['keys']>(
  sentence: string,
  keys: Keys,
): Section<readonly Settings<Keys>[]> => ({
  isRepeated: true,
  sentence,
  keys,
  read: (value = [], at) => {
    if (!Array.isArray(value) || !value.every(isTable)) return at.refuse(`must be tables: [[${at.name}]]`);
    return value.map((table, index) => {
      const values = Object.entries(readTable(keys, table, at.item(index)));
      return Object.fromEntries(values.filter(([, one]) => one !== undefined)) as Settings<Keys>;
    });
  },
});

/** The values of a table of these entries. @throws ConfigError, also for a key that is not declared */
export function readTable<Entries extends Readonly<Record<string, Entry<unknown>>>>(
  entries: Entries,
  table: unknown,
  at: Place,
): Values<Entries> {
  if (!isTable(table)) at.refuse('must be a table');
  const unknown = Object.keys(table).find((name) => !Object.hasOwn(entries, name));
  if (unknown !== undefined) {
    const known = Object.keys(entries).sort().join(', ');
    at.key(unknown).refuse(`there is no such key; known are ${known}`);
  }
  return Object.fromEntries(
    Object.entries(entries).map(([name, { read }]) => [camelCase(name), read(table[name], at.key(name))]),
  ) as Values<Entries>;
}

/** The values of entries, by their names in camel case. */
export type Values<Entries> = {
  readonly [Name in keyof Entries & string as CamelCase<Name>]: ValueOf<Entries[Name]>;
};

type Settings<Entries> = {
  readonly [Name in keyof Entries & string as CamelCase<Name>]?: Exclude<ValueOf<Entries[Name]>, undefined>;
};

type ValueOf<E> = E extends Entry<infer Value> ? Value : never;

const camelCase = (name: string): string =>
  name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** `gateway_device` as `gatewayDevice`. */
type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** `gatewayDevice` as `gateway_device`. */
export type SnakeCase<Name extends string> = Name extends `${infer Letter}${infer Rest}`
  ? `${Letter extends Lowercase<Letter> ? Letter : `_${Lowercase<Letter>}`}${SnakeCase<Rest>}`
  : Name;
