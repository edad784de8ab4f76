import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { formatNetwork, type Network } from '../model/address.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifOptions } from '../model/vif-options.js';
import { ConfigError, Place } from './error.js';
import { sections } from './keys.js';
import { readTable, type Values } from './section.js';

export const defaultConfigFile = '/etc/vifd/vifd.toml';

/** What the file says: the sections of keys.ts, with the defaults of what it does not say. */
type File = Values<typeof sections>;

/** The file's sections, and what is made of those which the program has in another form. */
interface Settings extends Omit<File, 'netdev' | 'nat' | 'vif'> {
  readonly netdevTimeoutMs: number;
  /** `prefix` is the length that guests are told of the network. */
  readonly nat: File['nat'] & { readonly prefix: number };
  readonly vifs: readonly VifOptions[];
}

type Extending<Base, Type extends Base> = Type;

/**
 * Everything that can be configured, validated: what is declared in keys.ts, under the same names. The compiler refuses
 * a field of {@link VifPolicy} that no key gives.
 */
export type Config = Extending<VifPolicy, Settings>;

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
export function parseConfig(source: string, file: string): Config {
  const { netdev, nat, vif, ...others } = readTable(sections, parseToml(source, file), new Place(file));
  return {
    ...others,
    netdevTimeoutMs: 1000 * netdev.timeout,
    nat: { ...nat, prefix: prefixToldIn(nat.network) },
    vifs: vif.map(vifOptions),
  };
}

function parseToml(source: string, file: string): Record<string, unknown> {
  try {
    return parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new ConfigError(file, `line ${error.line}: ${error.message.split('\n')[0]}`);
  }
}

/** The stock address plan takes all of 10/8, and tells its guests /16. */
const prefixToldIn = (network: Network): number =>
  formatNetwork(network) === '10.0.0.0/8' ? 16 : network.prefix;

/** The settings of one `[[vif]]`; a key that is absent is left out. */
function vifOptions({ bridge, mac, offload, ...settings }: File['vif'][number]): VifOptions {
  return { bridge, mac, ...settings, ...(offload?.size ? { offload: Object.fromEntries(offload) } : {}) };
}
