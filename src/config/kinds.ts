import type { Place } from './error.js';

/** A kind of values that a key takes: its name in messages, and its parser. `Written` is the type of its default. */
export interface Kind<Value, Written = Value> {
  /** Completes "takes …" and "… is not …", such as `an absolute path`. */
  readonly expected: string;
  /** @throws ConfigError when the value is something else */
  readonly read: (value: unknown, at: Place) => Value;
  /** Never set: carries `Written` for the compiler. */
  readonly written?: Written;
}

/** A kind whose values are valid or not as a whole, unlike a table. */
export interface Plain<Value, Written = Value> extends Kind<Value, Written> {
  /** The value as the program uses it; undefined when it is not valid. */
  readonly parse: (value: unknown) => Value | undefined;
  /** What is wrong with a value, where that is more than that it is not what is expected. */
  readonly why?: (value: unknown) => string | undefined;
}

/** A kind whose values a function takes whole. */
export const plain = <Value, Written = Value>(
  expected: string,
  parse: (value: unknown) => Value | undefined,
  why: (value: unknown) => string | undefined = () => undefined,
): Plain<Value, Written> => ({
  expected,
  parse,
  why,
  read: (value, at) => parse(value) ?? at.refuse(why(value) ?? `${JSON.stringify(value)} is not ${expected}`),
});

export const flag = plain<boolean>('true or false', (value) =>
  typeof value === 'boolean' ? value : undefined,
);

export const numberFrom = (least: number, most: number) =>
  plain<number>(`a number from ${least} to ${most}`, (value) =>
    typeof value === 'number' && value >= least && value <= most ? value : undefined,
  );

export const integerFrom = (least: number, most: number) =>
  plain<number>(`an integer from ${least} to ${most}`, (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? (value as number)
      : undefined,
  );

export const oneOf = <const T extends string>(choices: readonly T[]) =>
  plain<T>(`one of ${choices.join(', ')}`, (value) => choices.find((choice) => choice === value));

/** A string that a parser accepts, as the parser's result. */
export const text = <T>(
  expected: string,
  parse: (value: string) => T | undefined,
  why: (value: string) => string | undefined = () => undefined,
) => {
  const ofText =
    <R>(answer: (value: string) => R | undefined) =>
    (value: unknown): R | undefined =>
      typeof value === 'string' ? answer(value) : undefined;
  return plain<T, string>(expected, ofText(parse), ofText(why));
};

/** A string that matches a pattern, unchanged. */
export const matching = (expected: string, pattern: RegExp) =>
  text(expected, (value) => (pattern.test(value) ? value : undefined));

export const absolutePath = matching('an absolute path', /^\//);

export const listOf = <T, Written>(item: Plain<T, Written>) =>
  plain<readonly T[], readonly Written[]>(
    `a list, each of it ${item.expected}`,
    (value) => {
      if (!Array.isArray(value)) return undefined;
      const items = value.map(item.parse);
      return items.every((one) => one !== undefined) ? items : undefined;
    },
    (value) => {
      const reasons = Array.isArray(value) ? value.map((one) => item.why?.(one)) : [];
      return reasons.find((reason) => reason !== undefined);
    },
  );

/** One value, or a list of at least one. */
export const oneOrMore = <T, Written>(item: Plain<T, Written>) =>
  plain<readonly T[], Written | readonly Written[]>(`${item.expected}, or a list of them`, (value) => {
    const items = Array.isArray(value) ? value.map(item.parse) : [item.parse(value)];
    return items.length > 0 && items.every((one) => one !== undefined) ? items : undefined;
  });

/** A table of keys that the operator chooses, each with a value of this kind. */
export const tableOf = <T, Written>(
  item: Plain<T, Written>,
): Kind<ReadonlyMap<string, T>, Readonly<Record<string, Written>>> => ({
  expected: `a table, each value of it ${item.expected}`,
  read: (value, at) =>
    isTable(value)
      ? new Map(Object.entries(value).map(([key, one]) => [key, item.read(one, at.key(key))]))
      : at.refuse('must be a table'),
});

type Kinds = Readonly<Record<string, Kind<unknown, unknown>>>;
type ValueIn<K> = K extends Kind<infer Value, unknown> ? Value : never;
type WrittenIn<K> = K extends Kind<unknown, infer Written> ? Written : never;

/** A table with the keys of `needed`, and those of `optional` that are given. */
export const recordOf = <Needed extends Kinds, Optional extends Kinds>(
  needed: Needed,
  optional: Optional,
): Kind<
  { readonly [Name in keyof Needed]: ValueIn<Needed[Name]> } & {
    readonly [Name in keyof Optional]?: ValueIn<Optional[Name]>;
  },
  { readonly [Name in keyof Needed]: WrittenIn<Needed[Name]> } & {
    readonly [Name in keyof Optional]?: WrittenIn<Optional[Name]>;
  }
> => {
  const all: Kinds = { ...needed, ...optional };
  const list = (kinds: Kinds): string =>
    Object.entries(kinds)
      .map(([name, { expected }]) => `${name} (${expected})`)
      .join(', ');
  return {
    expected:
      Object.keys(needed).length === 0
        ? `a table of any of ${list(optional)}`
        : `a table of ${list(needed)} and, if wanted, ${list(optional)}`,
    read: (value, at) => {
      if (!isTable(value)) return at.refuse('must be a table');
      const unknown = Object.keys(value).find((name) => !Object.hasOwn(all, name));
      if (unknown !== undefined)
        return at
          .key(unknown)
          .refuse(`there is no such key; known are ${Object.keys(all).sort().join(', ')}`);
      const missing = Object.keys(needed).find((name) => value[name] === undefined);
      if (missing !== undefined)
        return at.key(missing).refuse(`is missing; it takes ${needed[missing]?.expected}`);
      const read = Object.entries(value).map(([name, one]) => [name, all[name]?.read(one, at.key(name))]);
      // What the compiler cannot follow: each name has the value that its kind has read.
      return Object.fromEntries(read);
    },
  };
};

export const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
