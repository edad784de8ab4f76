import { countingSets, dropReasons, dropsSet, sets, type Table } from '../../model/nft.js';
import type { TableDumps } from './dumps.js';
import { decodeElements, type NftMessage, setOf } from './messages.js';

/** Packets dropped by reason; `address of a guest` and `the driver domain itself` only for routed vifs. */
export type Drops = Readonly<Record<string, number>>;

/**
 * Reads the packets dropped of each vif since its filter was installed, by reason. Costs some rows of a dump for each vif.
 * @param devices the vif that each netdev has its filter for, by the netdev's name
 */
export async function readDrops(
  dumps: TableDumps,
  devices: ReadonlyMap<string, string>,
): Promise<Map<string, Drops>> {
  const drops = new Map<string, Record<string, number>>();
  for (const vif of devices.values()) drops.set(vif, { ...none });
  const add = (vif: string | undefined, reason: string | undefined, packets = 0n): void => {
    if (vif === undefined || vif === '' || reason === undefined) return;
    const of = drops.get(vif) ?? {};
    of[reason] = (of[reason] ?? 0) + Number(packets);
    drops.set(vif, of);
  };
  const addRow = (row: NftMessage): void => {
    const set = setOf(row);
    if (set === dropsSet) {
      for (const { key, packets } of decodeElements(row, ['ifname', 'mark']))
        add(devices.get(key[0] ?? ''), dropReasons[Number(key[1])], packets);
    } else if (isCounting(set)) {
      for (const { comment, packets } of decodeElements(row, sets[set].key))
        add(comment, countingSets[set], packets);
    }
  };
  // Rows that are missed, because elements were added meanwhile, come with the next call.
  await dumps.exclusively(() => dumps.readElements(counting, addRow));
  return drops;
}

/** No packet, for each reason. */
export const none: Drops = Object.fromEntries(dropReasons.slice(1).map((reason) => [reason, 0]));

/** The sets whose elements count packets. */
const counting: readonly (readonly [Table, string])[] = [
  ['netdev vifd', dropsSet],
  ...(Object.keys(countingSets) as (keyof typeof countingSets)[]).map(
    (set) => [sets[set].table, set] as const,
  ),
];

export const isCounting = (set: string): set is keyof typeof countingSets => Object.hasOwn(countingSets, set);
