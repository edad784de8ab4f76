/** What happens, by a test's order, to calls that match, instead of their being done. */
interface Fault<Call> {
  readonly matches: (call: Call) => boolean;
  readonly strike: (call: Call) => Promise<void>;
  left: number;
}

/** A call that is held until the test releases it. */
export interface Held {
  /** Resolves when the call has been made. */
  readonly reached: Promise<void>;
  /** Lets it go on, or fail. */
  release(error?: Error): void;
}

/** The faults of a fake: calls that fail, or do not end until the test lets them. */
export class Faults<Call> {
  #faults: Fault<Call>[] = [];

  /** Makes calls fail. @returns a function that ends it */
  fail(
    matches: (call: Call) => boolean,
    error: (call: Call) => Error,
    times = Number.POSITIVE_INFINITY,
  ): () => void {
    return this.#add({ matches, left: times, strike: (call) => Promise.reject(error(call)) });
  }

  /** Holds the next call that matches. */
  hold(matches: (call: Call) => boolean): Held {
    let reach: () => void = () => undefined;
    let end: (error?: Error) => void = () => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const released = new Promise<void>((resolve, reject) => {
      end = (error) => (error === undefined ? resolve() : reject(error));
    });
    // It may be released with an error before it is awaited.
    released.catch(() => undefined);
    this.#add({
      matches,
      left: 1,
      strike: () => {
        reach();
        return released;
      },
    });
    return { reached, release: end };
  }

  /** Applies the last fault that was set for a call; does nothing for a call without one. */
  async strike(call: Call): Promise<void> {
    const fault = this.#faults.findLast(({ matches, left }) => left > 0 && matches(call));
    if (fault === undefined) return;
    fault.left--;
    await fault.strike(call);
  }

  #add(fault: Fault<Call>): () => void {
    this.#faults.push(fault);
    return () => {
      this.#faults = this.#faults.filter((other) => other !== fault);
    };
  }
}
