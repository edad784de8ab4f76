import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { exec, until } from '../process/exec.js';

const script = fileURLToPath(new URL('packets.py', import.meta.url));

/** Sends frames from a device in a namespace, in this order. */
export async function send(namespace: string, device: string, frames: readonly Buffer[]): Promise<void> {
  const input = frames.map((frame) => `${frame.toString('hex')}\n`).join('');
  await exec('ip', ['netns', 'exec', namespace, 'python3', script, 'send', device], { input });
}

/** Captures the frames that arrive at a device in a namespace, from `start` to `stop`. */
export class Capture {
  readonly frames: string[] = [];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.frames.push(line),
    );
  }

  static async start(namespace: string, device: string): Promise<Capture> {
    const child = spawn('ip', ['netns', 'exec', namespace, 'python3', script, 'capture', device], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const capture = new Capture(child);
    await until('the capture to be ready', () => capture.frames.shift() === 'ready');
    return capture;
  }

  /** Whether a frame arrived. Short ones arrive as they were sent, since a veth pair pads nothing. */
  saw(frame: Buffer): boolean {
    return this.frames.includes(frame.toString('hex'));
  }

  arrival(frame: Buffer): Promise<boolean> {
    return until('the arrival of a frame', () => this.saw(frame));
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
