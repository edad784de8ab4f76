/** How often a request is made again while what it sets may have been lost. */
const most = 5;

/**
 * What the kernel takes away with a device's addresses, its link or its MAC address while entries of that device are being set. It announces
 * the address or the link only, and perhaps before it acknowledges the request: the lock is given back in between
 * (rtnetlink_rcv_msg, then netlink_ack). So the acknowledgement alone does not say that an entry is there.
 */
export class Losses {
  readonly #asked = new Set<{ readonly index: number; isLost: boolean }>();

  /** Takes in that entries of a device may have gone. */
  at(index: number): void {
    for (const one of this.#asked) if (one.index === index) one.isLost = true;
  }

  /**
   * Makes a request that sets an entry of a device, and again where that may have been lost meanwhile: to set it twice does no harm.
   * @returns whether it is there
   */
  async outlasted(index: number, request: () => Promise<void>): Promise<boolean> {
    for (let times = 0; times < most; times++) {
      const asked = { index, isLost: false };
      this.#asked.add(asked);
      try {
        await request();
      } finally {
        this.#asked.delete(asked);
      }
      if (!asked.isLost) return true;
    }
    return false;
  }
}
