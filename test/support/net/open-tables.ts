import type { Domnet } from './domnet.js';

/**
 * Makes the tables of ours that are named, before vifd does, as anybody could: then they stay open to others, also where
 * vifd would have made them its own alone. That holds until they are deleted.
 */
export async function openTables(domnet: Domnet, ...tables: string[]): Promise<void> {
  await domnet.exec('nft', [tables.map((table) => `add table ${table}`).join('; ')]);
}
