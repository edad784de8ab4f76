import type { World } from './xen-host.js';

/**
 * One thing that happens on a real Xen host. It begins with the agent running and no guest, says what happens and what
 * must then be so, and leaves the tidying up to its caller. It throws what is not so; what it returns is worth a column
 * in the table. It is the same for every agent; what only one can do is marked so.
 */
export interface Scenario {
  readonly name: string;
  /** Part of the short set, run for every change. */
  readonly short?: true;
  /** Asks for what the stock agent was never meant to do. */
  readonly only?: 'vifd';
  /** The agent may complain: something goes wrong on purpose. */
  readonly fault?: true;
  run(host: World): Promise<string | undefined>;
}

/** `wanted`, or an error that says what is there instead. */
export function mustBe(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}
