import { Xenstore } from 'node-xenstore';
import type { Config } from '../config/config.js';
import { setsNamed } from '../decide/named-sets.js';
import { wantsOffloads } from '../decide/vif-options.js';
import { Host } from '../host/host.js';
import { onItsLines } from '../model/one-line.js';
import { problemOf } from '../model/operation-error.js';
import { parseVifName } from '../model/vif-id.js';
import { printCommands } from '../plan/print/print.js';
import { actionsOf } from '../reconcile/next.js';
import { dhcpDirectory } from '../runtime/runtime-dir.js';
import { CommandError, exit } from './exit-status.js';
import { outlook } from './outlook.js';
import { backendOf, observeNow, planNow, readKeys } from './plan-now.js';
import { lines } from './table.js';

/**
 * `vifd plan VIF [--json]`: prints what vifd would do for a vif now, as commands that can be pasted. Changes nothing and
 * needs no daemon. Exits 1 when the vif cannot be attached as things are: it is refused, ovs-vswitchd has refused its port, or its
 * script failed.
 */
export async function planCommand(name: string, config: Config, options: { json: boolean }): Promise<number> {
  const id = parseVifName(name);
  if (id === undefined)
    throw new CommandError(
      `"${name}" is not the name of a vif; vifs are named by domain and device, like vif5.0`,
      exit.usage,
    );
  const xenstore = await Xenstore.open();
  const host = await Host.open(() => undefined, {
    openvswitch: config.openvswitch,
    offloads: wantsOffloads(config),
    sets: setsNamed(config),
  });
  try {
    const step = planNow(id, await readKeys(backendOf(xenstore, config), id), config, observeNow(host));
    const { headline, problem, waitsFor, missing } = outlook(id, step);
    const places = { ovsDatabase: config.openvswitch.database, dhcpDirectory: dhcpDirectory() };
    const commands = actionsOf(step).map((action) => printCommands(action, places));
    const comments = [headline, ...missing.map(({ message }) => `goes without: ${message}`)];
    process.stdout.write(
      options.json
        ? `${JSON.stringify(
            {
              vif: name,
              verdict: step.verdict.kind,
              problem: problem?.message ?? null,
              errorCode: (problem ?? waitsFor)?.code,
              waitsFor: waitsFor?.message,
              ...(missing.length > 0 && {
                missing: missing.map(({ message }) => message),
                problems: missing.map(problemOf),
              }),
              commands,
            },
            undefined,
            2,
          )}\n`
        : // What is pasted after a comment is run.
          `${lines(comments.map((text) => `# ${text}`))}${commands.map((one) => `${onItsLines(one)}\n`).join('')}`,
    );
    return problem === undefined ? exit.ok : exit.failed;
  } finally {
    host.close();
    await xenstore.close();
  }
}
