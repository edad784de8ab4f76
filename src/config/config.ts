import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { formatNetwork, type Network } from '../model/address.js';
import type { Forward } from '../model/forward.js';
import type { Group } from '../model/group.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifOptions } from '../model/vif-options.js';
import { ConfigError, Place } from './error.js';
import { forwardsOf } from './forwards.js';
import { groupsOf } from './groups.js';
import { sections } from './keys.js';
import { readTable, type Values } from './section.js';

export const defaultConfigFile = '/etc/vifd/vifd.toml';

/** The values of the file, by the sections of keys.ts; those that it leaves out have their defaults. */
type File = Values<typeof sections>;

/** The file's values, with those in the form in which the program uses them that differs from the file's. */
interface Settings extends Omit<File, 'netdev' | 'nat' | 'vif' | 'forward' | 'group'> {
  readonly netdevTimeoutMs: number;
  /** `prefix` is the prefix length of the network that DHCP gives to guests. */
  readonly nat: File['nat'] & { readonly prefix: number };
  readonly vifs: readonly VifOptions[];
  readonly forwards: readonly Forward[];
  readonly groups: readonly Group[];
}

type Extending<Base, Type extends Base> = Type;

/**
 * The whole configuration, validated: the keys that keys.ts declares, under the same names. The compiler refuses a field
 * of {@link VifPolicy} that no key sets.
 */
export type Config = Extending<VifPolicy, Settings>;

/**
 * Reads a configuration file. The default one may be absent; one named on the command line may not.
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

/** The configuration in a TOML text; `file` names it in errors. @throws ConfigError */
export function parseConfig(source: string, file: string): Config {
  const at = new Place(file);
  const { netdev, nat, vif, forward, group, ...others } = readTable(sections, parseToml(source, file), at);
  return {
    ...others,
    netdevTimeoutMs: 1000 * netdev.timeout,
    nat: { ...nat, prefix: prefixToldIn(nat.network) },
    vifs: vif.map(vifOptions),
    forwards: forwardsOf(forward, at.key('forward')),
    groups: groupsOf(group, at.key('group')),
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

/** The prefix length for guests. Xen's vif-nat takes addresses from all of 10/8 and gives its guests /16. */
const prefixToldIn = (network: Network): number =>
  formatNetwork(network) === '10.0.0.0/8' ? 16 : network.prefix;

/** The settings of one `[[vif]]`; a key that is absent is left out. */
function vifOptions({ bridge, mac, offload, ...settings }: File['vif'][number]): VifOptions {
  return { bridge, mac, ...settings, ...(offload?.size ? { offload: Object.fromEntries(offload) } : {}) };
}
