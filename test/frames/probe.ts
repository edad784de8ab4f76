import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Domnet, Vif } from '../support/net/domnet.js';
import { exec } from '../support/process/exec.js';
import { u32 } from './grammar/bytes.js';

const script = fileURLToPath(new URL('../support/packets/packets.py', import.meta.url));

/**
 * Asks the kernel which frames a vif's filter lets in. A chain behind the filter, at the same hook, sends a copy of what
 * it gets to a device of its own: this is the filter's verdict alone, whatever the topology does with the frame then.
 */
export class Probe {
  readonly #child: ChildProcess;
  readonly #last: (number: number) => Buffer;
  #batches = 0;
  #answer = Buffer.alloc(0);
  #said = '';
  #arrived: () => void = () => undefined;

  private constructor(child: ChildProcess, last: (number: number) => Buffer) {
    this.#child = child;
    this.#last = last;
    child.stdout?.on('data', (data: Buffer) => {
      this.#answer = Buffer.concat([this.#answer, data]);
      this.#arrived();
    });
    child.stderr?.on('data', (data: Buffer) => {
      this.#said += data.toString();
    });
    child.once('exit', () => this.#arrived());
  }

  /** @param last makes a frame that surely passes, another for each number */
  static async of(vif: Vif, last: (number: number) => Buffer): Promise<Probe> {
    const { domnet, name, domid } = vif;
    const guest = await domnet.guestNamespace(domid);
    const spy = `spy${domid}`;
    await domnet.ip(`link add ${spy} up type veth peer name spy netns ${guest}`);
    await vif.guestIp('link set spy up');
    // What the guest's own kernel says would be counted with the rest.
    await vif.guestExec('sysctl', ['-qw', 'net.ipv6.conf.eth0.disable_ipv6=1']);
    await copyIngress(domnet, name, spy);
    const child = spawn('ip', ['netns', 'exec', guest, 'python3', script, 'probe', `eth${vif.devid}`, 'spy']);
    const probe = new Probe(child, last);
    domnet.atEnd(() => probe.stop());
    return probe;
  }

  /** Whether each of these frames, of 14 to 1514 bytes, passes. */
  async passes(frames: readonly Buffer[]): Promise<boolean[]> {
    const all = [...frames, this.#last(this.#batches++)];
    this.#answer = Buffer.alloc(0);
    this.#child.stdin?.write(
      Buffer.concat([u32(all.length), ...all.flatMap((one) => [u32(one.length), one])]),
    );
    while (this.#answer.length < all.length) {
      if (this.#child.exitCode !== null) throw new Error(`the probe has ended: ${this.#said}`);
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    return frames.map((_, i) => this.#answer[i] === 1);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

async function copyIngress(domnet: Domnet, device: string, spy: string): Promise<void> {
  const chain = `netdev spies ${spy}`;
  await exec('ip', [
    ...['netns', 'exec', domnet.namespace, 'nft'],
    `add table netdev spies; add chain ${chain} { type filter hook ingress device "${device}" priority 0; }; add rule ${chain} dup to "${spy}"`,
  ]);
}
