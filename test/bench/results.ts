import { type Agent, rows } from './rows.js';

/** Figures of one run: by row and agent, those of each turn. */
export type Samples = Readonly<Record<string, Partial<Record<Agent, readonly (readonly number[])[]>>>>;

/** What is kept of a run, for `--json` and `--compare`. */
export interface Results {
  readonly machine: string;
  readonly samples: Samples;
  /** What vifd did in one attach, in ms from its keys. */
  readonly timeline: readonly Bar[];
}
export interface Bar {
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** A median, and the least and greatest of the turns' medians. */
export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** The figure of turns, each a list of samples; undefined for none. */
export function figure(turns: readonly (readonly number[])[] | undefined): Figure | undefined {
  const medians = (turns ?? []).filter(({ length }) => length > 0).map(median);
  if (medians.length === 0) return undefined;
  return { median: median(medians), least: Math.min(...medians), greatest: Math.max(...medians) };
}

/** How many times as much vifd takes as the row's reference, turn by turn, since both were measured under the same load. */
export function ratio(samples: Samples, row: string, agent: Agent = 'vifd'): Figure | undefined {
  const reference = rows[row]?.reference;
  if (reference === undefined) return undefined;
  // Every attach is held against the floor's, which knows no addresses.
  const against =
    reference === 'floor'
      ? samples[row.startsWith('burst') ? 'burst.plain' : 'next.plain']?.floor
      : samples[reference.row]?.[agent];
  const own = samples[row]?.[agent];
  const pairs = (own ?? []).map((turn, i) => median(turn) / median(against?.[i] ?? against?.at(-1) ?? []));
  return figure(pairs.filter(Number.isFinite).map((value) => [value]));
}

/** A row that is worse than it was. */
export interface Worse {
  readonly row: string;
  readonly before: number;
  readonly now: number;
}

/** How much worse a row may be than in the run that it is compared with. */
const tolerance = 1.25;

/** The rows whose ratio, or figure where there is none, has worsened by a quarter or more. */
export function worsened(before: Samples, now: Samples): Worse[] {
  const value = (samples: Samples, row: string): number | undefined =>
    (rows[row]?.reference === undefined ? figure(samples[row]?.vifd) : ratio(samples, row))?.median;
  return Object.keys(rows)
    .filter((row) => row !== 'start.node')
    .flatMap((row) => {
      const [was, is] = [value(before, row), value(now, row)];
      return was !== undefined && is !== undefined && is >= was * tolerance
        ? [{ row, before: was, now: is }]
        : [];
    });
}
