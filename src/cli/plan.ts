import { Xenstore } from 'node-xenstore';
import type { Config } from '../config/config.js';
import { Blocks } from '../host/blocks.js';
import { Host } from '../host/host.js';
import { recordedRuns } from '../host/process/scripts.js';
import { isConnected, type VifSnapshot } from '../model/snapshot.js';
import { cardOf } from '../model/twins.js';
import type { Verdict } from '../model/verdict.js';
import { backendPath, parseVifName, type VifId, vifName } from '../model/vif-id.js';
import { printCommands } from '../plan/print/print.js';
import { actionsOf, next } from '../reconcile/next.js';
import { blocksDirectory, dhcpDirectory } from '../runtime/runtime-dir.js';
import { Backend } from '../xenstore/backend.js';
import { CommandError, exit } from './exit-status.js';

/**
 * `vifd plan VIF [--json]`: prints what vifd would do for a vif now, as commands that can be pasted. Changes nothing and
 * needs no daemon. Exits 1 when the vif cannot be attached as things are.
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
    const { verdict } = step;
    const places = { ovsDatabase: config.openvswitch.database, dhcpDirectory: dhcpDirectory() };
    const commands = actionsOf(step).map((action) => printCommands(action, places));
    const problem = verdict.kind === 'refuse' ? verdict.problem.message : null;
    process.stdout.write(
      options.json
        ? `${JSON.stringify({ vif: name, verdict: verdict.kind, problem, commands }, undefined, 2)}\n`
        : [`# ${explain(id, verdict, commands.length)}`, ...commands].map((line) => `${line}\n`).join(''),
    );
    return verdict.kind === 'refuse' ? exit.failed : exit.ok;
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

function explain(id: VifId, verdict: Verdict, commands: number): string {
  const name = vifName(id);
  switch (verdict.kind) {
    case 'attach':
      return commands === 0 ? `${name} is attached as it should be` : `attach ${name} (${verdict.topology})`;
    case 'script':
      return commands === 0
        ? `${name}: ${verdict.script.file} has been run for it, and nothing is left to do`
        : `attach ${name} (script)`;
    case 'refuse':
      return verdict.problem.message;
    case 'await-netdev':
      return `${name} waits for its netdev, which netback creates`;
    case 'closing':
      return `${name} is being taken away by dom0; netback is still closing it`;
    case 'remove':
      return verdict.directory
        ? `${name} is closed: undo what was done for it, then delete ${backendPath(id)}`
        : commands === 0
          ? `there is no ${backendPath(id)}, and nothing on this host belongs to ${name}`
          : `there is no ${backendPath(id)}: undo what is left of ${name}`;
  }
}
