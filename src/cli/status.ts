import { setTimeout as sleep } from 'node:timers/promises';
import { dropCure } from '../model/drop-cures.js';
import type { VifStatus } from '../model/vif-status.js';
import { summary } from '../observe/health.js';
import { ask } from './control-client.js';
import { exit } from './exit-status.js';
import { printHolding } from './holding.js';
import { bits, Rates, type TrafficRate } from './rate.js';
import { ago, bytes, lines, table } from './table.js';

/** The daemon's answer to `/status`. */
interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  readonly since: string;
  readonly domid: number | null;
  readonly xenstore: boolean;
  readonly vifs: readonly VifStatus[];
}

/** Pause between two requests of `--watch`, in ms. */
const watchMs = 1000;

/**
 * `vifd status [VIF] [--json] [--watch]`: prints the daemon's status of its vifs, or of one. Exits 1 when a vif of them has
 * failed. With `--watch` it goes on until it is stopped: in place on a terminal, one JSON text a line with `--json`. What is
 * watched is shown with its rates since the look before, and the vif with the most traffic first.
 */
export async function statusCommand(
  vif: string | undefined,
  options: { json: boolean; watch: boolean },
): Promise<number> {
  const rates = options.watch ? new Rates() : undefined;
  for (;;) {
    const status = await ask(vif === undefined ? '/status' : `/status/${encodeURIComponent(vif)}`);
    const shown = vif === undefined ? (status as DaemonStatus).vifs : [status as VifStatus];
    const now = rates?.since(shown, performance.now());
    const text = options.json
      ? `${JSON.stringify(status, undefined, options.watch ? undefined : 2)}\n`
      : vif === undefined
        ? printDaemon(status as DaemonStatus, now)
        : printVif(status as VifStatus, now);
    // Cursor home, the new text, then clear the rest: the screen does not flicker.
    const inPlace = options.watch && !options.json && process.stdout.isTTY;
    process.stdout.write(inPlace ? `\x1b[H${text.replaceAll('\n', '\x1b[K\n')}\x1b[J` : text);
    if (!options.watch) return shown.some(({ state }) => state === 'failed') ? exit.failed : exit.ok;
    await sleep(watchMs);
  }
}

const heads = [
  ...['VIF', 'STATE', 'TOPOLOGY', 'BRIDGE', 'MAC', 'IP', 'MTU', 'SINCE', 'ATTACHED IN', 'DROPS'],
  ...['FROM GUEST', 'TO GUEST'],
];

/** The rates of vifs by their names; undefined where nothing is watched. */
type RatesNow = ReadonlyMap<string, TrafficRate> | undefined;

function printDaemon(status: DaemonStatus, rates: RatesNow): string {
  const { version, pid, since, domid, xenstore } = status;
  const vifs = rates === undefined ? status.vifs : byTraffic(status.vifs, rates);
  const counted = (vif: VifStatus, of: keyof TrafficRate, total: 'rxBytes' | 'txBytes'): string => {
    if (rates === undefined) return vif.traffic === null ? '-' : bytes(vif.traffic[total]);
    const rate = rates.get(vif.vif);
    return rate === undefined ? '-' : bits(rate[of]);
  };
  const where = domid === null ? '' : `, domain ${domid}`;
  const head = `vifd ${version}, pid ${pid}${where}, up ${ago(since)}: ${summary(vifs.map(({ state }) => state))}`;
  const rows = vifs.map((vif) => [
    vif.vif,
    [vif.state, ...(vif.missing.length > 0 ? ['degraded'] : []), ...(vif.blocked ? ['blocked'] : [])].join(
      ', ',
    ),
    vif.topology ?? '-',
    vif.bridge ?? '-',
    vif.mac ?? '-',
    vif.ip.join(' ') || '-',
    String(vif.mtu ?? '-'),
    ago(vif.since),
    vif.attachMs === null ? '-' : `${vif.attachMs} ms`,
    Object.keys(vif.drops).length === 0 ? '-' : String(dropped(vif.drops)),
    counted(vif, 'fromGuest', 'rxBytes'),
    counted(vif, 'toGuest', 'txBytes'),
  ]);
  const errors = vifs.filter(({ error }) => error !== null).map(({ vif, error }) => `${vif}: ${error}`);
  const lacks = vifs.flatMap(({ vif, missing }) => missing.map((lack) => `${vif}: goes without: ${lack}`));
  return [
    `${head}\n`,
    xenstore ? '' : 'xenstore is not reachable: the vifs stay as they are, no other is attached\n',
    vifs.length === 0 ? '' : `\n${table([heads, ...rows])}`,
    errors.length === 0 ? '' : `\n${lines(errors)}`,
    lacks.length === 0 ? '' : `\n${lines(lacks)}`,
  ].join('');
}

/** The vifs with the most bits a second first, and those that are alike in the order in which they were. */
function byTraffic(vifs: readonly VifStatus[], rates: ReadonlyMap<string, TrafficRate>): VifStatus[] {
  const of = ({ vif }: VifStatus): number => {
    const { fromGuest = 0, toGuest = 0 } = rates.get(vif) ?? {};
    return fromGuest + toGuest;
  };
  return vifs.toSorted((a, b) => of(b) - of(a));
}

/** The status of one vif, a field a line; unknown fields are left out. */
function printVif(vif: VifStatus, rates: RatesNow): string {
  const { drops, traffic } = vif;
  const rate = rates?.get(vif.vif);
  const reasons = Object.entries(drops).filter(([, count]) => count > 0);
  const fields: [string, string | number | null][] = [
    ['vif', vif.vif],
    ['state', vif.state],
    ['since', `${vif.since} (${ago(vif.since)})`],
    ['blocked', vif.blocked && `no frame passes, since ${vif.blocked.since}, by ${vif.blocked.by}`],
    ['error', vif.error],
    ...vif.missing.map((lack): [string, string] => ['goes without', lack]),
    ['topology', vif.topology],
    ['bridge', vif.bridge],
    ['interface', vif.netdev === null ? null : `${vif.netdev}, index ${vif.ifindex}`],
    ['mac', vif.mac],
    ['ip', vif.ip.join(' ')],
    ['on standby for', (vif.standbyFor ?? []).join(', ')],
    ['kept from', (vif.keptFrom ?? []).join(', ')],
    ...(vif.forwards ?? []).map((forward): [string, string] => ['forwarded', forward]),
    ['mtu', vif.mtu],
    ['group', vif.group || null],
    ['in sets', (vif.sets ?? []).join(', ')],
    ...printHolding(vif.holding),
    ['attached in', vif.attachMs === null ? null : `${vif.attachMs} ms`],
    [
      'dropped',
      Object.keys(drops).length === 0
        ? 'it is not filtered'
        : `${dropped(drops)}${reasons.length === 0 ? '' : ` (${reasons.map(([reason, count]) => `${reason} ${count}`).join(', ')})`}`,
    ],
    ...reasons.flatMap(([reason]): [string, string][] => {
      const cure = dropCure(reason);
      return cure === undefined ? [] : [[`for ${reason}`, cure]];
    }),
    [
      'from guest',
      traffic &&
        `${bytes(traffic.rxBytes)} in ${traffic.rxPackets} packets${rate ? `, ${bits(rate.fromGuest)}` : ''}`,
    ],
    [
      'to guest',
      traffic &&
        `${bytes(traffic.txBytes)} in ${traffic.txPackets} packets${rate ? `, ${bits(rate.toGuest)}` : ''}`,
    ],
  ];
  return table(
    fields.flatMap(([name, value]) => (value === null || value === '' ? [] : [[`${name}:`, String(value)]])),
  );
}

const dropped = (drops: VifStatus['drops']): number =>
  Object.values(drops).reduce((sum, count) => sum + count, 0);
