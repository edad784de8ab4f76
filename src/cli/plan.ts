import { Xenstore } from 'node-xenstore';
import type { Config } from '../config/config.js';
import { Blocks } from '../host/blocks.js';
import { Host } from '../host/host.js';
import { recordedRuns } from '../host/process/scripts.js';
import { problemOf } from '../model/operation-error.js';
import { isConnected, type VifSnapshot } from '../model/snapshot.js';
import { cardOf } from '../model/twins.js';
import { parseVifName, type VifId } from '../model/vif-id.js';
import { printCommands } from '../plan/print/print.js';
import { actionsOf, next } from '../reconcile/next.js';
import { blocksDirectory, dhcpDirectory } from '../runtime/runtime-dir.js';
import { Backend } from '../xenstore/backend.js';
import { CommandError, exit } from './exit-status.js';
import { outlook } from './outlook.js';

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
  const host = await Host.open(() => undefined, { openvswitch: config.openvswitch });
  try {
    const snapshot = await readWithTwins(new Backend(xenstore), id);
    const observed = { ...host.observe(), scripts: recordedRuns() };
    const step = next(
      {
        id,
        snapshot: snapshot && withBlock(snapshot),
        isNew: true,
        attached: isConnected(snapshot) ? { addresses: [] } : undefined,
      },
      config,
      observed,
    );
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
        : [...comments.map(asComment), ...commands].map((line) => `${line}\n`).join(''),
    );
    return problem === undefined ? exit.ok : exit.failed;
  } finally {
    host.close();
    await xenstore.close();
  }
}

/** The keys of a vif with its block, as the daemon remembers that. */
export function withBlock(snapshot: VifSnapshot): VifSnapshot {
  const blocked = Blocks.open(blocksDirectory()).of(snapshot);
  return blocked === undefined ? snapshot : { ...snapshot, blocked };
}

/** The keys of a vif, with the other vifs of its card. */
async function readWithTwins(backend: Backend, id: VifId): Promise<VifSnapshot | undefined> {
  const snapshot = await backend.read(id);
  const card = cardOf(snapshot);
  if (snapshot === undefined || card === undefined) return snapshot;
  // A twin has the same number within its domain.
  const others = (await backend.list()).filter(
    ({ domid, devid }) => domid !== id.domid && devid === id.devid,
  );
  const read = await Promise.all(others.map((other) => backend.read(other)));
  return { ...snapshot, twins: others.filter((_, i) => cardOf(read[i]) === card) };
}

/** A text as a comment of the shell: one line, since what is pasted after it is run. */
const asComment = (text: string): string => `# ${text.replaceAll(/[\r\n]+/g, ' ')}`;
