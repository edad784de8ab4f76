import type { Domnet } from './domnet.js';

/**
 * Makes tables with vifd's names without an owner, before vifd makes them: other programs can change them until they are
 * deleted, also with a kernel on which vifd's own tables have an owner.
 */
export async function openTables(domnet: Domnet, ...tables: string[]): Promise<void> {
  await domnet.exec('nft', [tables.map((table) => `add table ${table}`).join('; ')]);
}
