import { error, type Finding, note, warning } from '../finding.js';
import type { Qdisc, WayFacts } from './facts.js';
import { runProgram } from './run.js';

const hasFilters = (kind: string): boolean => kind === 'clsact' || kind === 'ingress';

/** What tc drops at the devices on a vif's way: an error where it is half of what the guest sends in this time. */
export function aboutTrafficControl(
  { tc, meanwhile: { sent } }: Pick<WayFacts, 'tc' | 'meanwhile'>,
  devices: readonly string[],
): Finding[] {
  return tc
    .filter(({ dev }) => devices.includes(dev))
    .flatMap(({ dev, kind, dropped, meanwhile }): Finding[] => {
      const what = hasFilters(kind) ? `a filter of tc (${kind})` : `the queue of ${kind}`;
      const shows = hasFilters(kind)
        ? `tc -s filter show dev ${dev} egress, and ingress, show which`
        : `tc -s qdisc show dev ${dev}: a larger rate or limit, or less to send`;
      if (meanwhile > 0) {
        const severity = 2 * meanwhile >= sent ? error : warning;
        return [severity('tc', `${what} drops frames at ${dev} right now: ${meanwhile} of them`, shows)];
      }
      if (dropped === 0 || !hasFilters(kind)) return [];
      return [note('tc', `${what} has dropped ${dropped} frames at ${dev} before`, shows)];
    });
}

/** The drops of every qdisc, by device and kind. Without -j: for some qdiscs tc prints JSON that does not parse. */
export async function readQdiscs(): Promise<readonly Omit<Qdisc, 'meanwhile'>[]> {
  const output = await runProgram('tc', ['-s', 'qdisc', 'show']);
  return 'failed' in output ? [] : parseQdiscs(output.stdout);
}

export function parseQdiscs(text: string): readonly Omit<Qdisc, 'meanwhile'>[] {
  return [...text.matchAll(/^qdisc (\S+) \S+ dev (\S+) .*\n\s*Sent .*\(dropped (\d+),/gm)].map(
    ([, kind = '', dev = '', dropped]) => ({ dev, kind, dropped: Number(dropped) }),
  );
}

/** What was dropped between two readings. A device may have several of one kind, as one with several queues has. */
export function between(
  before: readonly Omit<Qdisc, 'meanwhile'>[],
  after: readonly Omit<Qdisc, 'meanwhile'>[],
): readonly Qdisc[] {
  const sum = (all: typeof after): Map<string, Omit<Qdisc, 'meanwhile'>> => {
    const sums = new Map<string, Omit<Qdisc, 'meanwhile'>>();
    for (const one of all) {
      const at = `${one.dev} ${one.kind}`;
      sums.set(at, { ...one, dropped: one.dropped + (sums.get(at)?.dropped ?? 0) });
    }
    return sums;
  };
  const first = sum(before);
  return [...sum(after)].map(([at, qdisc]) => ({
    ...qdisc,
    meanwhile: Math.max(0, qdisc.dropped - (first.get(at)?.dropped ?? 0)),
  }));
}
