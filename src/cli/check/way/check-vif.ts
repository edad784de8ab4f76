import { Xenstore } from 'node-xenstore';
import type { Config } from '../../../config/config.js';
import { parseNetwork } from '../../../model/address.js';
import { parseVifName } from '../../../model/vif-id.js';
import { CommandError, exit } from '../../exit-status.js';
import { backendOf, readKeys } from '../../plan-now.js';
import { table } from '../../table.js';
import { vifdAnswers } from '../daemons.js';
import { marks } from '../finding.js';
import { gatherWay } from './gather.js';
import { traceWay } from './trace-way.js';
import { judgeWay } from './way.js';

/**
 * `vifd check VIF [--to ADDRESS] [--trace] [--json]`: walks the way of the vif's packets and says where it ends, with the remedy;
 * with a trace also where those that it has at this time end. Exits 1 when it does.
 */
export async function checkVif(
  name: string,
  config: Config,
  options: { json: boolean; to: string | undefined; traceSeconds: number | undefined },
): Promise<number> {
  const id = parseVifName(name);
  if (id === undefined) {
    const reason = `"${name}" is not the name of a vif; vifs are named by domain and device, like vif5.0`;
    throw new CommandError(reason, exit.usage);
  }
  const to = options.to === undefined ? undefined : parseNetwork(options.to);
  if (options.to !== undefined && to?.address !== options.to) {
    throw new CommandError(`--to takes an address, not "${options.to}"`, exit.usage);
  }
  const xenstore = await Xenstore.open();
  const vifdRuns = await vifdAnswers();
  const snapshot = await readKeys(backendOf(xenstore, config), id).finally(() => xenstore.close());
  const facts = await gatherWay(id, snapshot, config, {
    vifdRuns,
    to: to?.address,
  });
  const judged = judgeWay(facts);
  if (options.traceSeconds !== undefined && !options.json)
    process.stderr.write(`vifd: tracing the packets of ${name} for ${options.traceSeconds} s\n`);
  const traced =
    options.traceSeconds === undefined ? [] : await traceWay(facts, judged.topology, options.traceSeconds);
  const way = { ...judged, findings: [...judged.findings, ...traced] };
  const end = way.findings.find(({ severity }) => severity === 'error')?.check ?? null;
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ vif: name, topology: way.topology ?? null, ends: end, findings: way.findings }, undefined, 2)}\n`
      : `${table(
          way.findings.flatMap(({ severity, check, message, remedy }) => [
            [marks[severity], check, message],
            ...(remedy === '' ? [] : [['', '', `-> ${remedy}`]]),
          ]),
        )}\n${
          end === null
            ? `${name}: nothing stands in the way of its packets here`
            : `${name}: the way of its packets ends at: ${end}`
        }\n`,
  );
  return end === null ? exit.ok : exit.failed;
}
