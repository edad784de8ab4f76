import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';

export const defaultConfigFile = '/etc/vifd/vifd.toml';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Everything that can be configured, validated. The defaults stand in {@link parseConfig}, nowhere else. */
export interface Config {
  readonly log: { readonly level: (typeof logLevels)[number] };
  /** How long a netdev may take to appear after its backend directory before that is reported, in ms. */
  readonly netdevTimeoutMs: number;
  /** The socket of Open vSwitch's database, as ovs-vsctl's --db takes it. Read when the daemon starts. */
  readonly openvswitch: { readonly database: string };
}

/** A configuration that cannot be used; the message names file, key and reason. */
export class ConfigError extends Error {
  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.name = 'ConfigError';
  }
}

/**
 * Reads a configuration file. The default one may be absent, one named on the command line may not.
 * @throws ConfigError
 */
export function readConfig(file?: string): Config {
  try {
    return parseConfig(readFileSync(file ?? defaultConfigFile, 'utf8'), file ?? defaultConfigFile);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' && file === undefined) return parseConfig('', defaultConfigFile);
    if (code === undefined) throw error;
    throw new ConfigError(file ?? defaultConfigFile, `cannot be read: ${(error as Error).message}`);
  }
}

/** @throws ConfigError */
export function parseConfig(text: string, file: string): Config {
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new ConfigError(file, `line ${error.line}: ${error.message.split('\n')[0]}`);
  }
  const root = new Section(file, '', table);
  const log = root.section('log');
  const netdev = root.section('netdev');
  const openvswitch = root.section('openvswitch');
  const config: Config = {
    log: { level: log.oneOf('level', logLevels, 'info') },
    netdevTimeoutMs: 1000 * netdev.number('timeout', { least: 1, most: 600 }, 10),
    openvswitch: {
      database: openvswitch.matching(
        'database',
        /^unix:\/./,
        'unix: and an absolute path',
        'unix:/var/run/openvswitch/db.sock',
      ),
    },
  };
  for (const section of [root, log, netdev, openvswitch]) section.refuseUnknown();
  return config;
}

/** One table of the file. Remembers which keys were asked for, so that a misspelt one is refused and not ignored. */
class Section {
  readonly #file: string;
  readonly #name: string;
  readonly #table: Record<string, unknown>;
  readonly #known = new Set<string>();

  constructor(file: string, name: string, table: Record<string, unknown>) {
    this.#file = file;
    this.#name = name;
    this.#table = table;
  }

  section(key: string): Section {
    const value = this.#take(key) ?? {};
    if (typeof value !== 'object' || Array.isArray(value) || value instanceof Date)
      this.#refuse(key, 'must be a table');
    return new Section(this.#file, key, value as Record<string, unknown>);
  }

  oneOf<T extends string>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.#take(key) ?? fallback;
    return choices.includes(value as T)
      ? (value as T)
      : this.#refuse(key, `${JSON.stringify(value)} is none of ${choices.join(', ')}`);
  }

  number(key: string, range: { least: number; most: number }, fallback: number): number {
    const value = this.#take(key) ?? fallback;
    return typeof value === 'number' && value >= range.least && value <= range.most
      ? value
      : this.#refuse(key, `${JSON.stringify(value)} is not a number from ${range.least} to ${range.most}`);
  }

  matching(key: string, pattern: RegExp, expected: string, fallback: string): string {
    const value = this.#take(key) ?? fallback;
    return typeof value === 'string' && pattern.test(value)
      ? value
      : this.#refuse(key, `${JSON.stringify(value)} is not ${expected}`);
  }

  refuseUnknown(): void {
    const unknown = Object.keys(this.#table).find((key) => !this.#known.has(key));
    if (unknown !== undefined)
      this.#refuse(unknown, `there is no such key; known are ${[...this.#known].join(', ')}`);
  }

  #take(key: string): unknown {
    this.#known.add(key);
    return this.#table[key];
  }

  #refuse(key: string, reason: string): never {
    throw new ConfigError(this.#file, `${this.#name === '' ? key : `${this.#name}.${key}`}: ${reason}`);
  }
}
