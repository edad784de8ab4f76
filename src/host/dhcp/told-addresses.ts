import { addresses4Of, addresses6Of, deviceOfEntry, macOfEntry } from '../../model/dhcp-entry.js';

/**
 * The addresses that dnsmasq has been told of since it was started, with the entry that had each last. It keeps a lease when it forgets
 * the entry, and gives the address to no other guest then.
 */
export class ToldAddresses {
  readonly #entries = new Map<string, string>();

  constructor(entries: Iterable<string>) {
    for (const entry of entries) this.note(entry);
  }

  note(entry: string): void {
    for (const address of addressesOf(entry)) this.#entries.set(address, entry);
  }

  /**
   * Whether a lease may keep one of its addresses from the guest of a new entry. Of IPv4 dnsmasq takes a lease from a guest that has the
   * entry's MAC; of IPv6 from none, since it knows one by DUID and IAID (check_address in its rfc3315.c).
   */
  mayRefuse(entry: string): boolean {
    const isAnothers = (address: string): boolean => {
      const before = this.#entries.get(address);
      return before !== undefined && macOfEntry(before) !== macOfEntry(entry);
    };
    return (
      addresses6Of(entry).some((address) => this.#entries.has(address)) ||
      addresses4Of(entry).some(isAnothers)
    );
  }

  /** Whether another vif has been told of one of an entry's addresses since. */
  isTaken(entry: string): boolean {
    return addressesOf(entry).some((address) => {
      const last = this.#entries.get(address);
      return last !== undefined && deviceOfEntry(last) !== deviceOfEntry(entry);
    });
  }
}

const addressesOf = (entry: string): string[] => [...addresses4Of(entry), ...addresses6Of(entry)];
