import { sendPacket } from 'node-netlink';
import type { Logger } from 'pino';
import type { ActionOf } from '../model/action.js';
import { announcement } from './announcement.js';
import type { Links } from './rtnetlink/links.js';

/** How often an address is announced, and the ms between: as RFC 4861 has it, of which RFC 5227 wants two. */
const times = 3;
const intervalMs = 1000;

/** Announces addresses to a device's network; some switches drop what comes at first, so each is repeated while it stays. */
export class Announcer {
  readonly #links: Links;
  readonly #log: Logger | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(links: Links, log?: Logger) {
    this.#links = links;
    this.#log = log;
  }

  /** Announces an address, at once and again later. One that cannot be sent is logged: the vif works without it. */
  announce(action: ActionOf<'announce'>): void {
    const { index, address, carrier } = action;
    this.#links.proxy.announced(index, address, carrier);
    if (this.#send(action)) this.#repeat(action, times - 1);
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #repeat(action: ActionOf<'announce'>, left: number): void {
    if (left === 0) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#isAnsweredFor(action) && this.#send(action)) this.#repeat(action, left - 1);
    }, intervalMs).unref();
    this.#timers.add(timer);
  }

  /** Whether the address is still this domain's, at this device and with its MAC address. */
  #isAnsweredFor({ index, address: { address }, mac }: ActionOf<'announce'>): boolean {
    const { routes, view } = this.#links;
    const isThere = routes.proxiesFor(address).some(({ device }) => device === index);
    return isThere && view.byIndex(index)?.mac === mac;
  }

  #send({ index, name, address, mac }: ActionOf<'announce'>): boolean {
    try {
      sendPacket(index, announcement(address, mac));
      return true;
    } catch (error) {
      this.#log?.warn({ device: name, address: address.address, err: error }, 'address not announced');
      return false;
    }
  }
}
