import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Nftables } from 'node-libnftables';
import { parseIptables } from '../../nft/walk/iptables-save.js';
import { parseRuleset, type Ruleset, together } from '../../nft/walk/ruleset.js';

/** Everything that filters on this machine, and the families of iptables-legacy whose rules could not be read. */
export type Rules =
  | { readonly ruleset: Ruleset; readonly unreadLegacy: readonly string[] }
  | { readonly reason: string };

/**
 * Reads nf_tables whole, in a thread of libuv's pool, and the filter tables of iptables-legacy where those are in use.
 * @param options.texts each rule's, also where nothing but its text needs them
 */
export async function readRuleset({ texts = false } = {}): Promise<Rules> {
  try {
    const nft = new Nftables();
    try {
      const json = await listJson(nft, 'list ruleset');
      // The devices of a chain, and matches of iptables, are in the text alone.
      const text =
        texts || /"(xt|hook": "(in|e)gress)"/.test(json)
          ? await nft.runAside('list ruleset', { handles: true })
          : '';
      const legacy = await readLegacy();
      const found = legacy.flatMap(({ ruleset }) => ruleset ?? []);
      return {
        ruleset: together([parseRuleset(json, text), ...found]),
        unreadLegacy: legacy.filter(({ ruleset }) => ruleset === undefined).map(({ family }) => family),
      };
    } finally {
      nft.close();
    }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** How often a listing is asked for that came out empty, and the pause between, in ms. */
const listings = { most: 10, pauseMs: 20 };

/** A listing as JSON. libnftables gives an empty one, without an error, where a table goes while it reads. */
async function listJson(
  nft: Nftables,
  command: string,
  options: { stateless?: boolean } = {},
): Promise<string> {
  for (let i = 1; ; i++) {
    const json = await nft.runAside(command, { ...options, json: true });
    if (json.trim() !== '') return json;
    if (i === listings.most) throw new Error('the rules change faster than they can be read');
    await sleep(listings.pauseMs);
  }
}

interface Legacy {
  readonly family: 'ip' | 'ip6';
  /** As `iptables-legacy -S` has it. */
  readonly text: string | undefined;
  readonly ruleset: Ruleset | undefined;
}

/** The filter tables of iptables-legacy in this network namespace; without a ruleset where its program does not list it. */
async function readLegacy(): Promise<Legacy[]> {
  const found: Legacy[] = [];
  for (const family of legacyFamilies()) {
    const text = await list(`${family}tables-legacy`);
    found.push({ family, text, ruleset: text === undefined ? undefined : parseIptables(family, text) });
  }
  return found;
}

/** The families for which iptables-legacy has a filter table. Only asking for it would make one. */
export const legacyFamilies = (): ('ip' | 'ip6')[] =>
  (['ip', 'ip6'] as const).filter((family) => names(family).includes('filter'));

/** Whether iptables-legacy has a table, of filters, NAT or another, in this network namespace. */
export const hasLegacy = (): boolean =>
  (['ip', 'ip6'] as const).some((family) => names(family).some((name) => name !== ''));

function names(family: 'ip' | 'ip6'): string[] {
  try {
    return readFileSync(`/proc/net/${family}_tables_names`, 'utf8').split('\n');
  } catch {
    return [];
  }
}

const list = (program: string): Promise<string | undefined> =>
  new Promise((resolve) => {
    const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
    execFile(program, ['-S'], { timeout: 5000, env: { ...process.env, PATH } }, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });

/** What filters beside vifd; `ruleset` is undefined where nothing does. `text` is all of it, to compare two readings. */
export type ForeignRules =
  | { readonly ruleset: Ruleset | undefined; readonly unreadLegacy: readonly string[]; readonly text: string }
  | { readonly reason: string };

/** Reads what filters beside vifd. Of a machine on which nothing does, only the chains are listed. */
export async function readForeignRuleset(): Promise<ForeignRules> {
  try {
    const nft = new Nftables();
    try {
      const chains = await listJson(nft, 'list chains');
      const legacy = await readLegacy();
      const unreadLegacy = legacy.filter(({ ruleset }) => ruleset === undefined).map(({ family }) => family);
      const isForeign = parseRuleset(chains, '').base.some(({ table }) => table !== 'vifd');
      if (!isForeign && legacy.length === 0) return { ruleset: undefined, unreadLegacy, text: '' };
      const json = await listJson(nft, 'list ruleset', { stateless: true });
      const text = await nft.runAside('list ruleset', { handles: true });
      const found = legacy.flatMap(({ ruleset }) => ruleset ?? []);
      return {
        ruleset: together([parseRuleset(json, text), ...found]),
        unreadLegacy,
        text: [withoutOurs(json), ...legacy.map((one) => `\n${one.text}`)].join(''),
      };
    } finally {
      nft.close();
    }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** A listing without vifd's own tables, which change with each vif. */
function withoutOurs(json: string): string {
  const { nftables } = JSON.parse(json) as { nftables: Record<string, { table?: string; name?: string }>[] };
  const isOurs = (entry: (typeof nftables)[number]): boolean =>
    Object.entries(entry).some(([kind, { table, name }]) => (kind === 'table' ? name : table) === 'vifd');
  return JSON.stringify(nftables.filter((entry) => !isOurs(entry)));
}
