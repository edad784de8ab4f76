import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { topologyNames } from './topology/topology.js';
import { parseMac } from './vif/address.js';
import type { VifOptions } from './vif/options.js';

export const defaultConfigFile = '/etc/vifd/vifd.toml';

const antispoofModes = ['auto', 'strict', 'off'] as const;
const bridgeMtus = ['bridge', 'uplink'] as const;
const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;

/** Everything that can be configured, validated. The defaults stand in {@link parseConfig}, nowhere else. */
export interface Config {
  readonly log: { readonly level: (typeof logLevels)[number] };
  /** How long a netdev may take to appear after its backend directory before that is reported, in ms. */
  readonly netdevTimeoutMs: number;
  /** The socket of Open vSwitch's database, as ovs-vsctl's --db takes it. Read when the daemon starts. */
  readonly openvswitch: { readonly database: string };
  readonly bridge: {
    /** Where a vif's MTU comes from when it has no `mtu` key: the bridge's when it joins, or its uplink's, followed. */
    readonly mtu: (typeof bridgeMtus)[number];
  };
  readonly scripts: {
    /** Where operators' own scripts may be. */
    readonly directories: readonly string[];
    /** Topologies by the file names of scripts which they stand in for. */
    readonly map: ReadonlyMap<string, string>;
  };
  readonly hooks: {
    /** Whose executables are called after attach, update and detach; undefined for none. */
    readonly directory: string | undefined;
  };
  readonly vifs: readonly VifOptions[];
  /**
   * Which vifs are held to their MAC and the addresses of their `ip` key: with `auto` those that have one, with
   * `strict` all, and one without is refused, with `off` none.
   */
  readonly antispoof: { readonly mode: (typeof antispoofModes)[number] };
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
  const bridge = root.section('bridge');
  const scripts = root.section('scripts');
  const scriptMap = scripts.section('map');
  const hooks = root.section('hooks');
  const vifs = root.sections('vif');
  const antispoof = root.section('antispoof');
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
    bridge: { mtu: bridge.oneOf('mtu', bridgeMtus, 'bridge') },
    scripts: {
      directories: scripts.paths('directories', ['/etc/xen/scripts']),
      map: new Map(scriptMap.keys().map((key) => [key, scriptMap.oneOf(key, topologyNames, '')])),
    },
    hooks: { directory: hooks.has('directory') ? hooks.path('directory') : undefined },
    vifs: vifs.map(readVifOptions),
    antispoof: { mode: antispoof.oneOf('mode', antispoofModes, 'auto') },
  };
  for (const section of [
    root,
    log,
    netdev,
    openvswitch,
    bridge,
    scripts,
    scriptMap,
    hooks,
    antispoof,
    ...vifs,
  ])
    section.refuseUnknown();
  return config;
}

function readVifOptions(table: Section): VifOptions {
  const offload = table.section('offload');
  const on = (key: string) => (table.has(key) ? table.flag(key) : undefined);
  const [isolated, multicastFlood, broadcastFlood] = [
    on('isolated'),
    on('multicast_flood'),
    on('broadcast_flood'),
  ];
  return {
    bridge: table.has('bridge') ? table.match('bridge', /^[^\s/:]{1,15}$/, 'a bridge name') : undefined,
    mac: table.has('mac') ? parseMac(table.match('mac', macPattern, 'a MAC address')) : undefined,
    ...(isolated === undefined ? {} : { isolated }),
    ...(multicastFlood === undefined ? {} : { multicastFlood }),
    ...(broadcastFlood === undefined ? {} : { broadcastFlood }),
    ...(table.has('txqueuelen')
      ? { txqueuelen: table.number('txqueuelen', { least: 0, most: 1_000_000 }, 0) }
      : {}),
    ...(offload.keys().length === 0
      ? {}
      : { offload: Object.fromEntries(offload.keys().map((key) => [key, offload.flag(key)])) }),
  };
}

const macPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

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
    return new Section(this.#file, this.#path(key), value as Record<string, unknown>);
  }

  /** An array of tables, `[[key]]`. */
  sections(key: string): Section[] {
    const value = this.#take(key) ?? [];
    const isTable = (entry: unknown) =>
      typeof entry === 'object' && entry !== null && !Array.isArray(entry) && !(entry instanceof Date);
    if (!Array.isArray(value) || !value.every(isTable))
      return this.#refuse(key, `must be tables: [[${key}]]`);
    return value.map((table, i) => new Section(this.#file, `${this.#path(key)}[${i}]`, table));
  }

  /** The keys that are there. */
  keys(): string[] {
    return Object.keys(this.#table);
  }

  has(key: string): boolean {
    this.#known.add(key);
    return this.#table[key] !== undefined;
  }

  flag(key: string): boolean {
    const value = this.#take(key);
    return typeof value === 'boolean'
      ? value
      : this.#refuse(key, `${JSON.stringify(value)} is neither true nor false`);
  }

  match(key: string, pattern: RegExp, expected: string): string {
    const value = this.#take(key);
    return typeof value === 'string' && pattern.test(value)
      ? value
      : this.#refuse(key, `${JSON.stringify(value)} is not ${expected}`);
  }

  path(key: string): string {
    return this.match(key, /^\//, 'an absolute path');
  }

  paths(key: string, fallback: readonly string[]): readonly string[] {
    const value = this.#take(key) ?? fallback;
    return Array.isArray(value) && value.every((path) => typeof path === 'string' && path.startsWith('/'))
      ? value
      : this.#refuse(key, 'must be a list of absolute paths');
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
    throw new ConfigError(this.#file, `${this.#path(key)}: ${reason}`);
  }

  #path(key: string): string {
    return this.#name === '' ? key : `${this.#name}.${key}`;
  }
}
