import type { Span } from '../bench/svg.js';
import type { XenHost } from './xen-host.js';

/** What a scenario has to say: a line for the table, and, of one that is a picture as well, what took how long, in seconds. */
export interface Note {
  readonly line: string;
  readonly spans: readonly Span[];
}

/**
 * A scenario on a real Xen host. It begins with the agent running and no guest, makes something happen and checks the
 * result; its caller cleans up. It throws at a failed check, and returns a note for the table. It is the same for every
 * agent, except where it is marked for one.
 */
export interface Scenario {
  readonly name: string;
  /** Part of the short set, run for every change. */
  readonly short?: true;
  /** Whether it needs a feature that the stock agent does not have. */
  readonly only?: 'vifd';
  /** Whether the agent may log problems, because something goes wrong on purpose. */
  readonly fault?: true;
  run(host: XenHost): Promise<string | Note | undefined>;
}

/** Throws an error with the actual value unless it is `wanted`. */
export function mustBe(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}
