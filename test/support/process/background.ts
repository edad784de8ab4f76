import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A program that runs beside a test, and the lines it has printed. */
export class Background {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;

  constructor(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#closed = once(this.#child, 'close');
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.lines.push(line),
    );
  }

  /** Resolves with its exit status, or the name of the signal that ended it. */
  get ended(): Promise<unknown> {
    return this.#closed.then(([code, signal]) => code ?? signal);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ends it, by SIGINT as a terminal would, and resolves when it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    this.#child.kill(signal);
    await this.#closed;
  }
}

/** `ping` at 10 ms intervals from a namespace. */
export class Ping {
  readonly #ping: Background;

  constructor(namespace: string, address: string) {
    this.#ping = new Background('ip', ['netns', 'exec', namespace, 'ping', '-n', '-i', '0.01', address]);
  }

  get output(): readonly string[] {
    return this.#ping.lines;
  }

  /** The sequence numbers answered so far. */
  get answered(): number[] {
    return this.#ping.lines.flatMap((line) => /icmp_seq=(\d+) .*time=/.exec(line)?.[1] ?? []).map(Number);
  }

  /** Ends it. @returns how many were answered, and how many were lost before the last answer */
  async stop(): Promise<{ answered: number; lost: number }> {
    await this.#ping.stop();
    const answered = new Set(this.answered);
    return { answered: answered.size, lost: Math.max(0, ...answered) - answered.size };
  }
}
