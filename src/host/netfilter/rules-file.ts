import { readFileSync } from 'node:fs';
import { parseRules } from '../../nft/rules.js';

const text = readFileSync(new URL('../../nft/vifd.nft', import.meta.url), 'utf8');

/** The rules that vifd installs, by table. */
export const rulesFile = parseRules(text);

/** The same for a kernel that counts no connections: without CONFIG_NFT_CONNLIMIT it takes no table with such a rule. */
export const rulesWithoutCounts = () => parseRules(text.replace(/^.* ct count .*\n/gm, ''));
