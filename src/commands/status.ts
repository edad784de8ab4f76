import { setTimeout as sleep } from 'node:timers/promises';
import { summary } from '../observe/health.js';
import type { VifStatus } from '../reconcile/vif-record.js';
import { ask } from './ask.js';
import { exit } from './exit.js';
import { ago, table } from './table.js';

interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  readonly since: string;
  readonly domid: number | null;
  readonly xenstore: boolean;
  readonly vifs: readonly VifStatus[];
}

/** How often `--watch` looks, in ms. */
const watchMs = 1000;

/** `vifd status [VIF] [--json] [--watch]`, of the running daemon. */
export async function statusCommand(
  vif: string | undefined,
  options: { json: boolean; watch: boolean },
): Promise<number> {
  for (;;) {
    const status = await ask(vif === undefined ? '/status' : `/status/${encodeURIComponent(vif)}`);
    const text = options.json
      ? `${JSON.stringify(status, undefined, 2)}\n`
      : vif === undefined
        ? printDaemon(status as DaemonStatus)
        : printVif(status as VifStatus);
    // Home, the new text, and away with what is left of the old one: no flicker.
    process.stdout.write(options.watch ? `\x1b[H${text.replaceAll('\n', '\x1b[K\n')}\x1b[J` : text);
    if (!options.watch) return exit.ok;
    await sleep(watchMs);
  }
}

function printDaemon({ version, pid, since, domid, xenstore, vifs }: DaemonStatus): string {
  const where = domid === null ? '' : `, domain ${domid}`;
  const head = `vifd ${version}, pid ${pid}${where}, up ${ago(since)}: ${summary(vifs.map(({ state }) => state))}`;
  const rows = vifs.map((vif) => [
    vif.vif,
    vif.state,
    vif.topology ?? '-',
    vif.bridge ?? '-',
    vif.mac ?? '-',
    vif.ip.join(' ') || '-',
    String(vif.mtu ?? '-'),
    ago(vif.since),
    vif.attachMs === null ? '-' : `${vif.attachMs} ms`,
  ]);
  const errors = vifs.filter(({ error }) => error !== null).map(({ vif, error }) => `${vif}: ${error}\n`);
  return [
    `${head}\n`,
    xenstore ? '' : 'xenstore is not reachable: the vifs stay as they are, nothing new is attached\n',
    vifs.length === 0
      ? ''
      : `\n${table([['VIF', 'STATE', 'TOPOLOGY', 'BRIDGE', 'MAC', 'IP', 'MTU', 'SINCE', 'ATTACHED IN'], ...rows])}`,
    errors.length === 0 ? '' : `\n${errors.join('')}`,
  ].join('');
}

/** One vif, every field on a line of its own. */
function printVif(vif: VifStatus): string {
  return table(
    Object.entries(vif)
      .map(([name, value]) => [`${name}:`, value === null ? '' : printValue(value)])
      .filter(([, text]) => text !== ''),
  );
}

function printValue(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
