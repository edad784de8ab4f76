import { Session } from 'node:inspector/promises';

/** Which blocks of the project's own code V8 has seen run. */
export class Coverage {
  readonly #session = new Session();
  readonly #known = new Set<string>();

  static async start(): Promise<Coverage> {
    const coverage = new Coverage();
    coverage.#session.connect();
    await coverage.#session.post('Profiler.enable');
    await coverage.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    coverage.learn(await coverage.fresh());
    return coverage;
  }

  get size(): number {
    return this.#known.size;
  }

  /** The blocks that ran since the last call and are not known. */
  async fresh(): Promise<string[]> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    return result
      .filter(({ url }) => /^file:.*\/(src|native)\//.test(url))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges
            .filter(({ count }) => count > 0)
            .map(({ startOffset, endOffset }) => `${url} ${startOffset} ${endOffset}`),
        ),
      )
      .filter((block) => !this.#known.has(block));
  }

  learn(blocks: readonly string[]): void {
    for (const block of blocks) this.#known.add(block);
  }

  close(): void {
    this.#session.disconnect();
  }
}
