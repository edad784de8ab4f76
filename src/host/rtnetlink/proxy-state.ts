import type { Network } from '../../model/address.js';
import type { ProxyEntry } from '../../model/proxy.js';
import { type VifId, vifName } from '../../model/vif-id.js';

/** Our proxy entries on all devices. */
export class ProxyState {
  readonly #entries = new Map<string, ProxyEntry>();

  all(): ProxyEntry[] {
    return [...this.#entries.values()];
  }

  at(device: number, address: Network): ProxyEntry | undefined {
    return this.#entries.get(keyOf(device, address));
  }

  /** Takes in an entry that was made. */
  set(proxy: ProxyEntry): void {
    this.#entries.set(keyOf(proxy.device, proxy.address), proxy);
  }

  /** Takes in that an entry's address was announced. */
  announce(device: number, address: Network, carrier: number): void {
    const entry = this.#entries.get(keyOf(device, address));
    if (entry !== undefined) this.set({ ...entry, announced: carrier });
  }

  /** Takes in that an entry was deleted. */
  delete(device: number, address: Network): void {
    this.#entries.delete(keyOf(device, address));
  }

  /** Takes in that a device's entries have gone, all or those of one family. */
  forget(index: number, version?: 4 | 6): void {
    for (const { device, address } of this.all()) {
      if (device === index && (version ?? address.family) === address.family) this.delete(device, address);
    }
  }

  /**
   * Gives each entry its owner and its announcement, which the kernel does not keep.
   * @param older where it may be noted
   * @param routedTo the vif that an entry is for by where it is and what is routed, which is the owner otherwise
   */
  takeOwners(older: ProxyState, routedTo: (proxy: ProxyEntry) => VifId | undefined): void {
    for (const [key, proxy] of this.#entries) {
      const vif = routedTo(proxy);
      const before = older.#entries.get(key);
      const owner = before?.owner ?? (vif && vifName(vif));
      const announced = before?.announced;
      this.#entries.set(key, { ...proxy, owner, ...(announced === undefined ? {} : { announced }) });
    }
  }
}

const keyOf = (device: number, { address }: Network): string => `${device} ${address}`;
