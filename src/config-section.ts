/** A configuration that cannot be used; the message names file, key and reason. */
export class ConfigError extends Error {
  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.name = 'ConfigError';
  }
}

/** What a value has to be: how it is read, and what to call it when it is something else. */
export interface Kind<T> {
  readonly expected: string;
  readonly read: (value: unknown) => T | undefined;
}

export const flag: Kind<boolean> = {
  expected: 'true or false',
  read: (value) => (typeof value === 'boolean' ? value : undefined),
};

export const numberFrom = (least: number, most: number): Kind<number> => ({
  expected: `a number from ${least} to ${most}`,
  read: (value) => (typeof value === 'number' && value >= least && value <= most ? value : undefined),
});

export const oneOf = <T extends string>(choices: readonly T[]): Kind<T> => ({
  expected: `one of ${choices.join(', ')}`,
  read: (value) => choices.find((choice) => choice === value),
});

/** A string that a parser takes, as what it makes of it. */
export const text = <T>(expected: string, parse: (value: string) => T | undefined): Kind<T> => ({
  expected,
  read: (value) => (typeof value === 'string' ? parse(value) : undefined),
});

/** A string of this form, as it is. */
export const matching = (expected: string, pattern: RegExp): Kind<string> =>
  text(expected, (value) => (pattern.test(value) ? value : undefined));

export const path = matching('an absolute path', /^\//);

export const listOf = <T>(item: Kind<T>): Kind<T[]> => ({
  expected: `a list, each of it ${item.expected}`,
  read: (value) => {
    if (!Array.isArray(value)) return undefined;
    const items = value.map(item.read);
    return items.every((one) => one !== undefined) ? items : undefined;
  },
});

/** One table of the file. Remembers which keys were asked for, so that a misspelt one is refused and not ignored. */
export class Section {
  readonly #file: string;
  readonly #name: string;
  readonly #table: Record<string, unknown>;
  readonly #known = new Set<string>();
  readonly #children: Section[] = [];

  constructor(file: string, name: string, table: Record<string, unknown>) {
    this.#file = file;
    this.#name = name;
    this.#table = table;
  }

  /** The keys that are there. */
  keys(): string[] {
    return Object.keys(this.#table);
  }

  /** The value of a key; undefined when it is not there. @throws ConfigError when it is something else */
  get<T>(key: string, { expected, read }: Kind<T>): T | undefined {
    this.#known.add(key);
    const value = this.#table[key];
    if (value === undefined) return undefined;
    return read(value) ?? this.#refuse(key, `${JSON.stringify(value)} is not ${expected}`);
  }

  /** A table below this one, empty when it is not there. */
  section(key: string): Section {
    this.#known.add(key);
    const value = this.#table[key] ?? {};
    return isTable(value) ? this.#child(this.#path(key), value) : this.#refuse(key, 'must be a table');
  }

  /** An array of tables, `[[key]]`. */
  sections(key: string): Section[] {
    this.#known.add(key);
    const value = this.#table[key] ?? [];
    if (!Array.isArray(value) || !value.every(isTable)) {
      return this.#refuse(key, `must be tables: [[${key}]]`);
    }
    return value.map((table, i) => this.#child(`${this.#path(key)}[${i}]`, table));
  }

  /** Refuses every key here and below that nobody asked for. @throws ConfigError */
  refuseUnknown(): void {
    const unknown = this.keys().find((key) => !this.#known.has(key));
    if (unknown !== undefined) {
      this.#refuse(unknown, `there is no such key; known are ${[...this.#known].sort().join(', ')}`);
    }
    for (const child of this.#children) child.refuseUnknown();
  }

  #child(name: string, table: Record<string, unknown>): Section {
    const child = new Section(this.#file, name, table);
    this.#children.push(child);
    return child;
  }

  #refuse(key: string, reason: string): never {
    throw new ConfigError(this.#file, `${this.#path(key)}: ${reason}`);
  }

  #path(key: string): string {
    return this.#name === '' ? key : `${this.#name}.${key}`;
  }
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
