import { readFileSync } from 'node:fs';
import { type Follower, follow } from './follower.js';
import type { XenHost } from './xen-host.js';

const packets = readFileSync(new URL('../support/packets/packets.py', import.meta.url), 'utf8');

/** Captures the frames that arrive at a device in a network namespace of domnet, until `stop`; in hex. */
export class Capture {
  readonly frames: string[] = [];
  readonly #follower: Follower;

  private constructor(namespace: string, device: string) {
    const command = `ip netns exec ${namespace} python3 /root/packets.py capture ${device}`;
    this.#follower = follow('domnet', command, (line) => this.frames.push(line));
  }

  static async start(host: XenHost, namespace: string, device: string): Promise<Capture> {
    await host.domnet(`cat >/root/packets.py <<'END'\n${packets}\nEND`);
    const capture = new Capture(namespace, device);
    await host.until('the capture to be ready', () => capture.frames.includes('ready'));
    return capture;
  }

  /** Whether a frame arrived; a short one may have been padded with zeros on its way. */
  saw(frame: Buffer): boolean {
    const hex = frame.toString('hex');
    return this.frames.some((came) => came.startsWith(hex) && /^0*$/.test(came.slice(hex.length)));
  }

  stop(): void {
    this.#follower.stop();
  }
}
