import type { TraceEvent, Traces } from '../../../host/netfilter/trace.js';
import { dropReasons } from '../../../model/nft.js';
import { fromGuestChain, traceTablePrefix } from '../../../nft/trace-table.js';
import type { Ruleset } from '../../../nft/walk/ruleset.js';
import { error, type Finding, note, ok, warning } from '../finding.js';
import { isHarmless } from './guest.js';
import { describePacket } from './packet-text.js';

/** What became of one packet, or of several that are told apart by their source port only. */
interface Fate {
  readonly isFromGuest: boolean;
  readonly packet: string;
  readonly end: 'drop' | 'accept' | 'stolen' | 'queue' | 'lost';
  /** The chain, and the rule where one decided. */
  readonly place: string;
  /** Why vifd's own filter dropped it. */
  readonly reason: string | undefined;
}

/**
 * What became of the packets that were traced: where each kind of them ended, an error where it was half of what went that way.
 * @param table the name of the tables by which they were marked
 */
export function judgeTrace(
  { events, isIncomplete, refused }: Traces,
  {
    table,
    ruleset,
    seconds,
    isRouted,
  }: { table: string; ruleset: Ruleset; seconds: number; isRouted: boolean },
): Finding[] {
  const packets = new Map<number, TraceEvent[]>();
  // The kernel makes the number of a packet of its place in memory: what a guest sends is the beginning of another packet.
  const begun = new Map<number, number>();
  for (const event of events) {
    if (event.table.startsWith(traceTablePrefix) && event.chain === fromGuestChain && event.headers)
      begun.set(event.id, (begun.get(event.id) ?? 0) + 1);
    const number = event.id * 2 ** 20 + (begun.get(event.id) ?? 0);
    packets.set(number, [...(packets.get(number) ?? []), event]);
  }
  const fates = new Map<string, { fate: Fate; count: number }>();
  const total = { from: 0, to: 0 };
  for (const own of packets.values()) {
    const fate = fateOf(own, table, ruleset, isRouted);
    if (fate === undefined) continue;
    const { count = 0 } = fates.get(JSON.stringify(fate)) ?? {};
    fates.set(JSON.stringify(fate), { fate, count: count + 1 });
    if (fate.reason === undefined || !isHarmless(fate.reason)) total[fate.isFromGuest ? 'from' : 'to']++;
  }
  const found = [...fates.values()].map(({ fate, count }) =>
    tell(fate, count, 2 * count >= total[fate.isFromGuest ? 'from' : 'to']),
  );
  return [
    ...refused.map((reason) =>
      warning(
        'trace',
        `nf_tables refuses to trace a part of the way: ${reason}`,
        'Linux 5.12 or later; modprobe nf_tables',
      ),
    ),
    ...(isIncomplete
      ? [note('trace', 'more was traced than could be read', 'trace again while the guest sends less')]
      : []),
    ...(found.length === 0 && refused.length === 0
      ? [
          note(
            'trace',
            `no packet of the guest or to it came by in ${seconds} s`,
            'let it send meanwhile, such as ping; --seconds takes up to 60',
          ),
        ]
      : []),
    ...found,
  ];
}

const nameOf = ({ family, table, chain }: TraceEvent): string => `${family} ${table} ${chain}`;

function fateOf(
  all: readonly TraceEvent[],
  table: string,
  ruleset: Ruleset,
  isRouted: boolean,
): Fate | undefined {
  // The kernel tells every listener of every packet that is traced, also by another program.
  const marked = all.find((event) => event.table === table);
  const headers = all.find((event) => event.headers !== undefined)?.headers;
  if (marked === undefined || headers === undefined) return undefined;
  const isFromGuest = marked.chain === fromGuestChain;
  const packet = describePacket(headers);
  // The marking itself is of no interest, unless nothing else has seen the packet; nor is that of another trace.
  const others = all.filter((event) => !event.table.startsWith(traceTablePrefix));
  const last = others.at(-1);
  const common = { isFromGuest, packet, reason: undefined };
  if (last === undefined) return { ...common, end: 'accept', place: 'no chain has seen it' };
  // A chain that is entered tells the headers first: it is the base chain of what follows.
  const base = others.findLast((event) => event.headers !== undefined) ?? last;
  if (last.verdict !== 'accept' && last.verdict !== 'continue') {
    const isOwn = last.table === 'vifd' && last.chain === 'refuse';
    return {
      ...common,
      end: last.verdict,
      place: isOwn ? 'anti-spoofing' : `${nameOf(base)}${ruleOf(last, base, ruleset)}`,
      reason: isOwn ? (dropReasons[last.mark] ?? `reason ${last.mark}`) : undefined,
    };
  }
  const hook = ruleset.base.find(
    ({ family, table: of, name }) => `${family} ${of} ${name}` === nameOf(base),
  )?.hook;
  const isLost =
    isRouted &&
    isFromGuest &&
    hook === 'prerouting' &&
    ['forward', 'input'].every((one) => seesAll(one, ruleset));
  return { ...common, end: isLost ? 'lost' : 'accept', place: `${nameOf(base)}${hook ? ` (${hook})` : ''}` };
}

/** Whether a hook has a chain for every packet of IP, so that one that is not seen there has not come there. */
const seesAll = (hook: string, { base }: Ruleset): boolean =>
  base.some((chain) => chain.hook === hook && chain.family === 'inet' && chain.type === 'filter');

function ruleOf(last: TraceEvent, base: TraceEvent, ruleset: Ruleset): string {
  if (last.type !== 'rule') return ', by its policy';
  const rule = ruleset.rules(last, last.chain).find(({ handle }) => handle === last.handle);
  const where = last.chain === base.chain ? '' : ` of its chain ${last.chain}`;
  return `, by the rule${where} "${rule?.text || `handle ${last.handle}`}"`;
}

function tell({ isFromGuest, packet, end, place, reason }: Fate, count: number, isMost: boolean): Finding {
  const what = `${isFromGuest ? 'from' : 'to'} the guest, ${packet}${count > 1 ? ` (${count} packets)` : ''}`;
  if (end === 'accept') return ok('trace', `${what}: passes; last ${place}`);
  if (end === 'lost') {
    return (isMost ? error : warning)(
      'trace',
      `${what}: passes ${place} and comes to no other hook, so that routing has refused it`,
      'ip route get TO from FROM iif VIF with its addresses says why; rp_filter, and the table of routes for it',
    );
  }
  const does = { drop: 'dropped', stolen: 'taken', queue: 'given to a program' }[end];
  const why = reason === undefined ? '' : `: ${reason}`;
  const remedy =
    reason === undefined
      ? 'change that rule, or accept these packets before it'
      : 'docs/operate/security.md says what each reason means, and what passes';
  if (end === 'queue') return warning('trace', `${what}: ${does} by ${place}`, remedy);
  const severity = reason !== undefined && isHarmless(reason) ? note : isMost ? error : warning;
  return severity('trace', `${what}: ${does} by ${place}${why}`, remedy);
}
