#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { CommandError, exit, messageOf } from './cli/exit-status.js';
import { run } from './cli/run.js';
import { defaultConfigFile, readConfig } from './config/config.js';
import { ConfigError } from './config/error.js';
import { onOneLine } from './model/one-line.js';
import { version } from './runtime/version.js';

const help = `Usage: vifd <command> [options]

The network agent of a Xen driver domain: attaches guest interfaces and keeps them attached.

Commands:
  run              watch the backends of this domain and serve them (the systemd unit's command)
  status [VIF]     the vifs the running daemon serves, or all about one; --watch to go on every second
  block VIF        let no frame of a vif pass, in either direction, until it is allowed again; the guest stays connected
  allow VIF        end that
  plan VIF         what vifd would do for a vif now, as commands to paste; changes nothing
  check [VIF]      whether this machine has what vifd needs, with a remedy for each problem; or the way of a vif's packets,
                   from the guest to the outside and back, and where it ends
  events [VIF]     the last events of vifs; --follow to go on with new ones
  graph            uplinks, bridges, vifs and guests as they are now, as a tree; --format svg for a picture, mermaid or dot

Options:
  --config FILE    the configuration; default ${defaultConfigFile}, which may be absent
  --to ADDRESS     check VIF: the way to this address, instead of any outside
  --trace          check VIF: also where the packets end that the guest sends and is sent meanwhile, rule by rule
  --seconds N      --trace: for how long, 1 to 60; default 5
  --json           answer in JSON
  --version        print the version
  -h, --help       print this

Exit status: 0 success; 1 refused or failed, also when a vif has failed (status, plan) or a check found an error; 3 the
daemon does not run; 64 wrong usage; 78 wrong configuration.
`;

const parse = (args: string[]) =>
  parseArgs({
    args,
    allowPositionals: true,
    tokens: true,
    options: {
      config: { type: 'string' },
      json: { type: 'boolean', default: false },
      watch: { type: 'boolean', default: false },
      to: { type: 'string' },
      trace: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      format: { type: 'string', default: 'tree' },
      follow: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });

/** The options each command takes. */
const optionsOf: ReadonlyMap<string, readonly string[]> = new Map([
  ['run', ['config']],
  ['status', ['json', 'watch']],
  ['block', ['json']],
  ['allow', ['json']],
  ['plan', ['config', 'json']],
  ['check', ['config', 'json', 'to', 'trace', 'seconds']],
  ['events', ['json', 'follow']],
  ['graph', ['config', 'json', 'format']],
]);

async function main(args: string[]): Promise<number> {
  const { values, positionals, tokens } = parseOrExplain(args);
  const [command, subject, ...rest] = positionals;
  if (values.help) return print(help);
  if (values.version) return print(`vifd ${version()}\n`);
  if (rest.length > 0) throw unexpected(rest[0]);
  const known = command === undefined ? undefined : optionsOf.get(command);
  const foreign = tokens.find((token) => token.kind === 'option' && known?.includes(token.name) === false);
  if (foreign?.kind === 'option') throw usage(`"vifd ${command}" takes no --${foreign.name}`);
  if (['plan', 'check', 'graph'].includes(command ?? '') && process.geteuid?.() !== 0) {
    throw new CommandError(`"vifd ${command}" reads what only root may read; run it as root`, exit.failed);
  }
  // Each command is loaded on demand, so that short ones start fast.
  switch (command) {
    case 'run':
      if (subject !== undefined) throw unexpected(subject);
      return await run(values.config);
    case 'status':
      return await (await import('./cli/status.js')).statusCommand(subject, values);
    case 'block':
    case 'allow':
      if (subject === undefined) throw usage(`the vif is missing, as in "vifd ${command} vif5.0"`);
      return await (await import('./cli/block.js')).blockCommand(subject, command === 'block', values);
    case 'events':
      return await (await import('./cli/events.js')).eventsCommand(subject, values);
    case 'check':
      if (subject !== undefined) {
        const { checkVif } = await import('./cli/check/way/check-vif.js');
        const { json, to } = values;
        return await checkVif(subject, readConfig(values.config), {
          json,
          to,
          traceSeconds: secondsOf(values),
        });
      }
      if (values.trace) throw usage('--trace needs a vif, as in "vifd check vif5.0 --trace"');
      if (values.to !== undefined) throw usage('--to needs a vif, as in "vifd check vif5.0 --to 192.0.2.1"');
      return await (await import('./cli/check/check.js')).checkCommand(values.config, values);
    case 'graph':
      if (subject !== undefined) throw unexpected(subject);
      return await drawGraph(values);
    case 'plan':
      if (subject === undefined) throw usage('the vif is missing, as in "vifd plan vif5.0"');
      return await (await import('./cli/plan.js')).planCommand(subject, readConfig(values.config), values);
    default:
      throw usage(command === undefined ? 'a command is missing' : `there is no command "${command}"`);
  }
}

async function drawGraph(values: { config?: string; format: string; json: boolean }): Promise<number> {
  const { graphCommand, graphFormats } = await import('./cli/graph/graph.js');
  const format = graphFormats.find((one) => one === values.format);
  if (format === undefined)
    throw usage(
      `--format takes ${graphFormats.join(', ').replace(/, (\w+)$/, ' or $1')}, not "${values.format}"`,
    );
  return await graphCommand(readConfig(values.config), { ...values, format });
}

/** For how long to trace; undefined where nothing is to be traced. */
function secondsOf({ trace, seconds }: { trace: boolean; seconds?: string | undefined }): number | undefined {
  if (!trace && seconds === undefined) return undefined;
  if (!trace) throw usage('--seconds is for --trace');
  if (!/^\d+$/.test(seconds ?? '5') || Number(seconds ?? 5) < 1 || Number(seconds ?? 5) > 60)
    throw usage(`--seconds takes a number from 1 to 60, not "${seconds}"`);
  return Number(seconds ?? 5);
}

function parseOrExplain(args: string[]): ReturnType<typeof parse> {
  try {
    return parse(args);
  } catch (error) {
    // Only the first sentence: Node's next ones advise about arguments that begin with a dash.
    throw usage(messageOf(error).split('. ')[0] ?? '');
  }
}

const usage = (reason: string): CommandError => new CommandError(`${reason}; see vifd --help`, exit.usage);

const unexpected = (argument: string | undefined): CommandError => usage(`unexpected argument "${argument}"`);

function print(text: string): number {
  process.stdout.write(text);
  return exit.ok;
}

// A closed pipe, as in `vifd events --follow | head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exit.ok);
  throw error;
});

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: unknown) => {
    process.stderr.write(`vifd: ${onOneLine(messageOf(error))}\n`);
    process.exit(
      error instanceof ConfigError ? exit.config : error instanceof CommandError ? error.status : exit.failed,
    );
  },
);
