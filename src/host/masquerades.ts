import { NftError } from 'node-libnftables';
import type { Logger } from 'pino';
import type { Network } from '../vif/address.js';
import type { Masquerade } from '../vif/ip.js';
import { natTable, printElement } from '../vif/print-ip.js';
import { OwnTables } from './own-tables.js';

/** The kernel's own name for the place after routing where source NAT is done. */
const chain = 'postrouting';

/**
 * Rules that never change over sets that do, so that a vif costs one element whatever else there is, and an address is
 * masqueraded only on its way out of its uplink: guests see each other as they are.
 */
const frame = [
  `add table ${natTable}`,
  `add set ${natTable} guests4 { type ipv4_addr . ifname; }`,
  `add set ${natTable} guests6 { type ipv6_addr . ifname; }`,
  `add chain ${natTable} ${chain} { type nat hook postrouting priority srcnat; policy accept; }`,
  `flush chain ${natTable} ${chain}`,
  `add rule ${natTable} ${chain} ip saddr . oifname @guests4 masquerade`,
  `add rule ${natTable} ${chain} ip6 saddr . oifname @guests6 masquerade`,
];

/** The addresses that are masqueraded, in an nftables table of our own; an element's comment names its vif. */
export class Masquerades {
  readonly #tables: OwnTables;
  #elements = new Map<string, Masquerade>();
  #framed = false;

  /** @param options.serves whether to take over what an earlier daemon has left; who only looks does not */
  constructor({ serves, log }: { serves: boolean; log?: Logger | undefined }) {
    this.#tables = new OwnTables(log);
    this.read();
    if (serves && this.#framed) this.#tables.claim(natTable);
  }

  get elements(): ReadonlyMap<string, Masquerade> {
    return this.#elements;
  }

  /** Looks at what there is, and returns the names of the vifs whose elements have come, changed or gone. */
  read(): string[] {
    const before = this.#elements;
    const items = this.#list();
    this.#framed = items.filter((item) => 'rule' in item).length === 2;
    this.#elements = new Map(items.flatMap(elementsOf));
    const changed = (a: typeof before, b: typeof before): string[] =>
      [...a]
        .filter(([address, { owner, uplink }]) => {
          const other = b.get(address);
          return !this.#framed || other?.owner !== owner || other.uplink !== uplink;
        })
        .map(([, { owner }]) => owner);
    // Without the rules the elements are nothing.
    if (!this.#framed) this.#elements = new Map();
    return [...new Set([...changed(before, this.#elements), ...changed(this.#elements, before)])];
  }

  /** @throws NftError */
  set(address: Network, before: Masquerade | undefined, after: Masquerade): void {
    this.#tables.run([
      ...(this.#framed ? [] : frame),
      ...(before === undefined ? [] : [printElement('delete', address, before)]),
      printElement('add', address, after),
    ]);
    this.#framed = true;
    this.#elements.set(address.address, after);
  }

  /** @throws NftError */
  delete(address: Network, before: Masquerade): void {
    this.#tables.run([printElement('delete', address, before)]);
    this.#elements.delete(address.address);
    // The last one takes the table with it.
    if (this.#elements.size > 0) return;
    this.#tables.run([`delete table ${natTable}`]);
    this.#framed = false;
  }

  close(): void {
    this.#tables.close();
  }

  #list(): Item[] {
    let nft: OwnTables['library'];
    try {
      nft = this.#tables.library;
    } catch {
      // No library, so nothing of ours in the kernel; who wants to be masqueraded is told why it cannot be.
      return [];
    }
    // Asking for a table that is not there would be an error like any other.
    const tables = parse(nft.run('list tables', { json: true }));
    const [family, name] = natTable.split(' ');
    if (!tables.some(({ table }) => table?.family === family && table?.name === name)) {
      this.#tables.forget(natTable);
      return [];
    }
    try {
      return parse(nft.run(`list table ${natTable}`, { json: true }));
    } catch (error) {
      // Somebody has deleted it in between, which is announced; an event must not end the daemon.
      if (error instanceof NftError) return [];
      throw error;
    }
  }
}

/** What is read of libnftables-json(5). */
interface Item {
  readonly table?: { readonly family: string; readonly name: string };
  readonly rule?: object;
  readonly set?: { readonly elem?: readonly Element[] };
}

interface Element {
  readonly elem?: { readonly val: { readonly concat: readonly [string, string] }; readonly comment?: string };
}

const parse = (json: string): Item[] => (JSON.parse(json) as { nftables: Item[] }).nftables;

const elementsOf = ({ set }: Item): [string, Masquerade][] =>
  (set?.elem ?? []).flatMap(({ elem }): [string, Masquerade][] =>
    elem?.comment === undefined
      ? []
      : [[elem.val.concat[0], { owner: elem.comment, uplink: elem.val.concat[1] }]],
  );
