import { readFileSync } from 'node:fs';
import { type Follower, follow } from './follower.js';
import type { XenHost } from './xen-host.js';

const packets = readFileSync(new URL('../support/packets/packets.py', import.meta.url), 'utf8');

/** Captures frames in domnet, until `stop`; in hex. */
export class Capture {
  readonly frames: string[] = [];
  readonly #follower: Follower;

  private constructor(command: string) {
    this.#follower = follow('domnet', command, (line) => this.frames.push(line));
  }

  static async #of(host: XenHost, command: string): Promise<Capture> {
    await host.domnet(`cat >/root/packets.py <<'END'\n${packets}\nEND`);
    const capture = new Capture(command);
    await host.until('the capture to be ready', () => capture.frames.includes('ready'));
    return capture;
  }

  /** The frames that arrive at a device in a network namespace. */
  static start(host: XenHost, namespace: string, device: string): Promise<Capture> {
    return Capture.#of(host, `ip netns exec ${namespace} python3 /root/packets.py capture ${device}`);
  }

  /** The frames that netback is given for a guest, by the guest's netdev. */
  static forGuest(host: XenHost, netdev: string): Promise<Capture> {
    return Capture.#of(host, `python3 /root/packets.py sent ${netdev}`);
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
