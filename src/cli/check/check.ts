import { type Config, defaultConfigFile, parseConfig, readConfig } from '../../config/config.js';
import { ConfigError } from '../../config/error.js';
import { exit } from '../exit-status.js';
import { table } from '../table.js';
import { gatherFacts } from './facts.js';
import { marks } from './finding.js';
import { findings } from './findings.js';

/** `vifd check [--json]`: prints what vifd needs of this machine, each problem with its remedy. Exits 1 after an error. */
export async function checkCommand(
  configFile: string | undefined,
  options: { json: boolean },
): Promise<number> {
  const config = readOrExplain(configFile);
  // A configuration that cannot be read is a finding; the other checks use the defaults then.
  const usable = 'reason' in config ? parseConfig('', defaultConfigFile) : config;
  const found = findings(await gatherFacts(usable), config);
  process.stdout.write(
    options.json
      ? `${JSON.stringify(found, undefined, 2)}\n`
      : table(
          found.flatMap(({ severity, check, message, remedy }) => [
            [marks[severity], check, message],
            ...(remedy === '' ? [] : [['', '', `-> ${remedy}`]]),
          ]),
        ),
  );
  return found.some(({ severity }) => severity === 'error') ? exit.failed : exit.ok;
}

function readOrExplain(file: string | undefined): Config | { reason: string } {
  try {
    return readConfig(file);
  } catch (error) {
    if (error instanceof ConfigError) return { reason: error.message };
    throw error;
  }
}
