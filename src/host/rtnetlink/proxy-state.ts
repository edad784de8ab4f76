import type { Network } from '../../model/address.js';
import type { ProxyEntry } from '../../model/proxy.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import { Grouped } from '../grouped.js';

/** Our proxy entries on all devices. */
export class ProxyState {
  readonly #entries = new Map<string, ProxyEntry>();
  readonly #byDevice = new Grouped<number, ProxyEntry>();
  readonly #byAddress = new Grouped<string, ProxyEntry>();
  readonly #byOwner = new Grouped<string | undefined, ProxyEntry>();

  all(): ProxyEntry[] {
    return [...this.#entries.values()];
  }

  at(device: number, address: Network): ProxyEntry | undefined {
    return this.#entries.get(keyOf(device, address));
  }

  /** The entries of an address, on whichever devices. */
  ofAddress(address: string): ProxyEntry[] {
    return this.#byAddress.of(address);
  }

  /** The entries of a vif, by its name. */
  ofOwner(owner: string): ProxyEntry[] {
    return this.#byOwner.of(owner);
  }

  /** Takes in an entry that was made. */
  set(proxy: ProxyEntry): void {
    this.delete(proxy.device, proxy.address);
    this.#entries.set(keyOf(proxy.device, proxy.address), proxy);
    this.#byDevice.add(proxy.device, proxy);
    this.#byAddress.add(proxy.address.address, proxy);
    this.#byOwner.add(proxy.owner, proxy);
  }

  /** Takes in that an entry's address was announced. */
  announce(device: number, address: Network, carrier: number): void {
    const entry = this.at(device, address);
    if (entry !== undefined) this.set({ ...entry, announced: carrier });
  }

  /** Takes in that an entry was deleted. */
  delete(device: number, address: Network): void {
    const entry = this.at(device, address);
    if (entry === undefined) return;
    this.#entries.delete(keyOf(device, address));
    this.#byDevice.delete(device, entry);
    this.#byAddress.delete(address.address, entry);
    this.#byOwner.delete(entry.owner, entry);
  }

  /** Takes in that a device's entries have gone, all or those of one family. */
  forget(index: number, version?: 4 | 6): void {
    for (const { address } of this.#byDevice.of(index))
      if ((version ?? address.family) === address.family) this.delete(index, address);
  }

  /**
   * Gives each entry its owner and its announcement, which the kernel does not keep.
   * @param older where it may be noted
   * @param routedTo the vif that an entry is for by where it is and what is routed, which is the owner otherwise
   */
  takeOwners(older: ProxyState, routedTo: (proxy: ProxyEntry) => VifId | undefined): void {
    for (const proxy of this.all()) {
      const vif = routedTo(proxy);
      const before = older.at(proxy.device, proxy.address);
      const owner = before?.owner ?? (vif && vifName(vif));
      const announced = before?.announced;
      this.set({ ...proxy, owner, ...(announced === undefined ? {} : { announced }) });
    }
  }
}

const keyOf = (device: number, { address }: Network): string => `${device} ${address}`;
