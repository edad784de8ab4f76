import type { Domnet, LogLine, Vif, Vifd } from '../support/net/domnet.js';
import { until } from '../support/process/exec.js';
import type { Screen } from './screen.js';

/** The state of the demo: a driver domain, the daemon in it, and the guests that have come up so far. */
export class Show {
  readonly domnet: Domnet;
  readonly screen: Screen;
  readonly guests: Vif[] = [];
  /** The whole as SVG, once it is drawn. */
  picture: string | undefined;
  readonly #interrupted: AbortSignal;
  #daemon: Vifd | undefined;
  #told = 0;

  constructor(domnet: Domnet, screen: Screen, interrupted: AbortSignal) {
    this.domnet = domnet;
    this.screen = screen;
    this.#interrupted = interrupted;
  }

  async startDaemon(): Promise<void> {
    this.screen.act('systemd', 'starts vifd run');
    this.#daemon = await this.domnet.vifd();
    this.#told = 0;
    this.#tell();
  }

  async stopDaemon(): Promise<void> {
    this.screen.act('systemd', 'stops it');
    const status = await this.#daemon?.terminate();
    this.#tell();
    if (status !== 0) throw new Error(`the daemon ended with ${status}`);
  }

  /** Waits for a new line of the daemon's log, and shows all up to now. */
  async hear(message: string, vif: string): Promise<LogLine> {
    const from = this.#told;
    const line = await until(`the daemon to say "${message}" of ${vif}`, () => {
      this.#interrupted.throwIfAborted();
      return this.#daemon?.log.slice(from).find(({ msg, vif: of }) => msg === message && of === vif);
    });
    this.#tell();
    return line;
  }

  /** A guest pings an address. @throws when a packet does not come back */
  async ping(guest: Vif, address: string, { count = 5, everyMs = 50 } = {}): Promise<string> {
    const args = ['-n', '-q', '-c', `${count}`, '-i', `${everyMs / 1000}`, '-W', '1', address];
    const output = await guest.guestExec('ping', args);
    const [, sent, received] = /^(\d+) packets transmitted, (\d+) received/m.exec(output) ?? [];
    if (sent !== received) throw new Error(`${received} of ${sent} packets came back from ${address}`);
    return `${received} of ${sent} packets came back`;
  }

  #tell(): void {
    const { log } = this.#daemon ?? { log: [] };
    for (const line of log.slice(this.#told)) this.screen.log(line);
    this.#told = log.length;
  }
}
