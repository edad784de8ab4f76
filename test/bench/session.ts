import type { Domnet } from '../support/net/domnet.js';
import type { Samples } from './results.js';
import type { Agent } from './rows.js';
import type { Scene } from './scene.js';

/** One run of the benchmark: where it measures, what, and what has come of it so far. */
export class Session {
  readonly domnet: Domnet;
  readonly scene: Scene;
  readonly isQuick: boolean;
  /** The `main.js` of another build that is measured beside this one. */
  readonly before: string | undefined;
  readonly config: string | undefined;
  turn = 0;
  /** The memory of an idle vifd, as measured last. */
  idleMb = 0;
  readonly #samples: Record<string, Partial<Record<Agent, number[][]>>> = {};

  constructor(
    domnet: Domnet,
    scene: Scene,
    { quick, before, config }: { quick: boolean; before: string | undefined; config: string | undefined },
  ) {
    this.domnet = domnet;
    this.scene = scene;
    this.isQuick = quick;
    this.before = before;
    this.config = config;
  }

  get samples(): Samples {
    return this.#samples;
  }

  add(row: string, agent: Agent, value: number): void {
    const agents = this.#samples[row] ?? {};
    const turns = agents[agent] ?? [];
    this.#samples[row] = { ...agents, [agent]: turns };
    for (let turn = turns.length; turn <= this.turn; turn++) turns.push([]);
    turns[this.turn]?.push(value);
  }

  say(what: string): void {
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${what}\n`);
  }
}
