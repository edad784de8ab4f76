import { readFileSync } from 'node:fs';
import { parseRules } from '../../nft/rules.js';

/** The rules that vifd installs, by table. */
export const rulesFile = parseRules(readFileSync(new URL('../../nft/vifd.nft', import.meta.url), 'utf8'));
