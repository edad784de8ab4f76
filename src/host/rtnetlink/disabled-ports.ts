import type { NetlinkMessage } from '../netlink/format.js';
import { decodePort, familyBridge, iffRunning } from './bridge-port-message.js';
import { rtm } from './link-message.js';

/** How long a port is disabled before that counts, in ms. */
const lastingMs = 100;

/**
 * Holds back for a moment that a port of a bridge is disabled: so is each that leaves its bridge, just before that is told (del_nbp), and each
 * of a bridge that goes down. One that stays so somebody has closed.
 */
export class DisabledPorts {
  readonly #apply: (message: NetlinkMessage) => void;
  readonly #held = new Map<number, NodeJS.Timeout>();

  /** @param apply takes a message in that tells of a disabled port, with no other of that port after it */
  constructor(apply: (message: NetlinkMessage) => void) {
    this.#apply = apply;
  }

  /** What is to be taken in of a notification now: all else of a port that is disabled, as of one without a carrier. */
  now(message: NetlinkMessage): NetlinkMessage {
    const { type, data } = message;
    if ((type !== rtm.newLink && type !== rtm.delLink) || data.readUInt8(0) !== familyBridge) return message;
    const index = data.readInt32LE(4);
    clearTimeout(this.#held.get(index));
    this.#held.delete(index);
    if (type === rtm.delLink || decodePort(message)?.waiting !== 'disabled') return message;
    const late = setTimeout(() => {
      this.#held.delete(index);
      this.#apply(message);
    }, lastingMs);
    this.#held.set(index, late.unref());
    const rest = Buffer.from(data);
    rest.writeUInt32LE((data.readUInt32LE(8) & ~iffRunning) >>> 0, 8);
    return { ...message, data: rest };
  }

  close(): void {
    for (const timer of this.#held.values()) clearTimeout(timer);
  }
}
