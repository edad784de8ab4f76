import { readFileSync } from 'node:fs';
import { parseRules } from './rules.js';

/** The rules that vifd installs, by table. */
export const rulesFile = parseRules(readFileSync(new URL('./vifd.nft', import.meta.url), 'utf8'));
