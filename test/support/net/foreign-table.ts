import { spawn } from 'node:child_process';
import { until } from '../process/exec.js';
import type { Domnet } from './domnet.js';

/** A table with vifd's name that another process owns: no other process may change it, and it goes with its owner. */
export class Foreign {
  readonly #nft;

  private constructor(domnet: Domnet) {
    this.#nft = spawn('ip', ['netns', 'exec', domnet.namespace, 'nft', '-i'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
  }

  /** @param first commands of the same transaction before it */
  static async table(domnet: Domnet, first = ''): Promise<Foreign> {
    const foreign = new Foreign(domnet);
    foreign.#nft.stdin.write(`${first}add table netdev vifd { flags owner; }\n`);
    await until('the table of another process', async () =>
      (await domnet.exec('nft', ['list', 'ruleset'])).includes('owner'),
    );
    return foreign;
  }

  end(): void {
    this.#nft.stdin.end();
  }
}
