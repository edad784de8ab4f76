#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigError, defaultConfigFile, readConfig } from './config.js';
import { runDaemon } from './daemon.js';
import { createLog } from './observe/log.js';

/** Exit statuses, of sysexits.h where it has one. */
const exit = { ok: 0, failed: 1, usage: 64, config: 78 } as const;

const help = `Usage: vifd <command> [options]

The network agent of a Xen driver domain: attaches guest interfaces and keeps them attached.

Commands:
  run            watch the backends of this domain and serve them (the systemd unit's command)

Options:
  --config FILE  the configuration; default ${defaultConfigFile}, which may be absent
  --version      print the version
  --help         print this
`;

async function main(args: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return usage((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help) return print(help);
  if (values.version) return print(`vifd ${version()}\n`);
  const [command, ...rest] = positionals;
  if (command === undefined) return usage('a command is missing');
  if (command !== 'run') return usage(`there is no command "${command}"`);
  if (rest.length > 0) return usage(`"${rest[0]}" is too much`);
  return await run(values.config);
}

const parse = (args: string[]) =>
  parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      version: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });

async function run(configFile: string | undefined): Promise<number> {
  const config = readConfig(configFile);
  const log = createLog(config.log);
  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping');
      stopping.abort();
    });
  }
  log.info({ version: version() }, 'starting');
  try {
    await runDaemon(config, log, stopping.signal);
  } catch (error) {
    log.fatal({ err: error }, 'cannot run');
    return exit.failed;
  }
  log.info('stopped');
  return exit.ok;
}

const version = (): string =>
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version as string;

function print(text: string): number {
  process.stdout.write(text);
  return exit.ok;
}

function usage(reason: string): number {
  process.stderr.write(`vifd: ${reason}; see vifd --help\n`);
  return exit.usage;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: unknown) => {
    process.stderr.write(`vifd: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(error instanceof ConfigError ? exit.config : exit.failed);
  },
);
