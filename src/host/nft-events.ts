import { RouteNetlink } from './netlink.js';
import { type NetlinkMessage, Protocol, parseAttributes } from './netlink-format.js';

// Numbers of linux/netfilter/nfnetlink.h and nf_tables.h.
const groupNftables = 7;
const subsystem = 10;
const newGeneration = 15;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE: all the same. */
const tableName = 1;
const generationPid = 2;

/** Tells when somebody else has changed a table of nftables. */
export class NftEvents {
  readonly #netlink: RouteNetlink;
  readonly #table: string;
  readonly #changed: () => void;
  #touched = false;

  constructor(table: string, changed: () => void) {
    this.#table = table;
    this.#changed = changed;
    this.#netlink = new RouteNetlink(
      [groupNftables],
      { message: (message) => this.#receive(message), overflow: changed },
      Protocol.NETFILTER,
    );
  }

  close(): void {
    this.#netlink.close();
  }

  /** A transaction is announced change by change, and its end by a message that names who made it. */
  #receive({ type, data }: NetlinkMessage): void {
    if (type >> 8 !== subsystem) return;
    if ((type & 0xff) !== newGeneration) {
      parseAttributes(data.subarray(4), ({ type: attribute, data: value }) => {
        if (attribute === tableName && value.toString('utf8').replace(/\0.*$/s, '') === this.#table)
          this.#touched = true;
      });
      return;
    }
    let own = false;
    parseAttributes(data.subarray(4), ({ type: attribute, data: value }) => {
      if (attribute === generationPid) own = value.readUInt32BE(0) === process.pid;
    });
    if (this.#touched && !own) this.#changed();
    this.#touched = false;
  }
}
