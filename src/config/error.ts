import { onOneLine } from '../model/one-line.js';

/** A configuration that cannot be used; the message names file, key and reason, in one line whatever the file has. */
export class ConfigError extends Error {
  constructor(file: string, reason: string) {
    super(onOneLine(`${file}: ${reason}`));
    this.name = 'ConfigError';
  }
}

/** A place in the file, for errors: a key, a table, or the whole file. */
export class Place {
  readonly #file: string;
  /** The place in messages: `log.level`, `vif[1].mac`; empty for the whole file. */
  readonly name: string;

  constructor(file: string, name = '') {
    this.#file = file;
    this.name = name;
  }

  /** The place of a key in this table. */
  key(key: string): Place {
    return new Place(this.#file, this.name === '' ? key : `${this.name}.${key}`);
  }

  /** The place of one of this list's tables, counted from 0. */
  item(index: number): Place {
    return new Place(this.#file, `${this.name}[${index}]`);
  }

  /** @throws ConfigError */
  refuse(reason: string): never {
    throw new ConfigError(this.#file, `${this.name}: ${reason}`);
  }
}
