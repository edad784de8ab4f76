import { Nftables } from 'node-libnftables';
import { parseRuleset, type Ruleset, together } from '../../nft/walk/ruleset.js';
import { NetlinkConnection } from '../netlink/connection.js';
import { afterPause, isDisturbed } from '../netlink/disturbed.js';
import { Protocol } from '../netlink/format.js';
import { readLegacy } from './iptables-legacy.js';
import { decode, isOurs, nft } from './messages.js';
import { listJson } from './ruleset.js';

/** What filters beside vifd; `ruleset` is undefined where nothing does. `text` is all of it, to compare two readings. */
export type ForeignRules =
  | { readonly ruleset: Ruleset | undefined; readonly unreadLegacy: readonly string[]; readonly text: string }
  | { readonly reason: string };

/**
 * Reads what filters beside vifd: the tables that are not vifd's, each by itself, since vifd's have some elements of each vif.
 * Of a machine that has none libnftables is asked nothing.
 */
export async function readForeignRuleset(): Promise<ForeignRules> {
  try {
    const legacy = await readLegacy();
    const tables = await listTables();
    const read = tables.length === 0 ? [] : await readTables(tables);
    const filters = read.filter(({ ruleset }) => ruleset.base.length > 0);
    const all = [...filters, ...legacy].flatMap(({ ruleset }) => ruleset ?? []);
    return {
      ruleset: filters.length + legacy.length === 0 ? undefined : together(all),
      unreadLegacy: legacy.filter(({ ruleset }) => ruleset === undefined).map(({ family }) => family),
      text: [...filters.map(({ text }) => text), ...legacy.map(({ text }) => `\n${text}`)].join(''),
    };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The tables of other programs, as nft names them, by a dump of netlink. */
async function listTables(): Promise<string[]> {
  let tables = new Set<string>();
  const netlink = new NetlinkConnection(
    [],
    {
      message: (message) => {
        const decoded = decode(message);
        if (decoded !== undefined && !isOurs(decoded)) tables.add(decoded.table);
      },
      overflow: () => undefined,
    },
    { protocol: Protocol.NETFILTER },
  );
  try {
    for (;;) {
      try {
        await netlink.dump(nft.getTable, Buffer.alloc(4));
        return [...tables];
      } catch (error) {
        if (!isDisturbed(error)) throw error;
        tables = new Set();
        await afterPause(error);
      }
    }
  } finally {
    netlink.close();
  }
}

interface ReadTable {
  readonly ruleset: Ruleset;
  readonly text: string;
}

async function readTables(tables: readonly string[]): Promise<ReadTable[]> {
  const library = new Nftables();
  try {
    const read: ReadTable[] = [];
    for (const table of tables) {
      try {
        read.push(await readTable(library, table));
      } catch (error) {
        // It has gone meanwhile, or else it is one that must not be passed over.
        if ((await listTables()).includes(table)) throw error;
      }
    }
    return read;
  } finally {
    library.close();
  }
}

async function readTable(library: Nftables, table: string): Promise<ReadTable> {
  const text = await listJson(library, `list table ${table}`, { stateless: true });
  // The devices of a chain, and the rules for messages, are in the text alone.
  const printed = await library.runAside(`list table ${table}`, { handles: true });
  return { ruleset: parseRuleset(text, printed), text };
}
