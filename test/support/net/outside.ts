import { exec } from '../process/exec.js';
import type { Domnet } from './domnet.js';

/** A network outside of the driver domain: a namespace at the other end of one of the domain's devices. */
export class Outside {
  readonly namespace: string;
  readonly device: string;

  private constructor(namespace: string, device: string) {
    this.namespace = namespace;
    this.device = device;
  }

  /**
   * Adds a device to the driver domain, up, with these addresses, and at its other end `peer` with those.
   * @param number distinguishes several outsides of one driver domain
   */
  static async connect(
    domnet: Domnet,
    {
      device,
      addresses,
      peer,
      number = 60_000,
    }: { device: string; addresses: string[]; peer: string[]; number?: number },
  ): Promise<Outside> {
    const outside = new Outside(await domnet.guestNamespace(number), device);
    await domnet.ip(`link add ${device} type veth peer name lan0 netns ${outside.namespace}`);
    await outside.ip('link set lan0 up');
    await domnet.ip(`link set ${device} up`);
    for (const address of addresses) await domnet.ip(`address add ${address} dev ${device}${dad(address)}`);
    for (const address of peer) await outside.ip(`address add ${address} dev lan0${dad(address)}`);
    return outside;
  }

  ip(command: string): Promise<string> {
    return exec('ip', ['-n', this.namespace, ...command.split(' ')]);
  }

  exec(file: string, args: readonly string[]): Promise<string> {
    return exec('ip', ['netns', 'exec', this.namespace, file, ...args]);
  }
}

/** The option against duplicate address detection, for which each test would wait a second. */
const dad = (address: string): string => (address.includes(':') ? ' nodad' : '');
