import { setTimeout as sleep } from 'node:timers/promises';
import { Nftables } from 'node-libnftables';
import { parseRuleset, type Ruleset, together } from '../../nft/walk/ruleset.js';
import { readLegacy } from './iptables-legacy.js';

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
export async function listJson(
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
