import { countingSets, dropReasons, dropsSet, type Element, filterSets, sets } from '../../model/nft.js';
import { NetlinkConnection } from '../netlink/connection.js';
import { Protocol, putU32 } from '../netlink/format.js';
import { type Drops, isCounting, none } from './drops.js';
import { elementRequest } from './element-request.js';
import { decode, decodeElements, nft, setOf } from './messages.js';

/**
 * Reads the packets dropped of one vif since its filter was installed, by reason: by the keys of its own elements, however many
 * other vifs there are. Undefined for a vif without a filter.
 * @param elements all elements of the vif
 */
export async function readDropsOf(elements: readonly Element[]): Promise<Drops | undefined> {
  const devices = new Set(elements.filter(({ set }) => filterSets.has(set)).map(({ key }) => key[0] ?? ''));
  const counting = elements.filter(({ set }) => isCounting(set));
  if (devices.size + counting.length === 0) return undefined;
  const reasons = dropReasons.slice(1);
  const drops: Record<string, number> = devices.size === 0 ? {} : { ...none };
  const add = (reason = '', packets = 0n): void => {
    drops[reason] = (drops[reason] ?? 0) + Number(packets);
  };
  // Without groups it receives what it asks for and nothing else.
  const netlink = new NetlinkConnection(
    [],
    {
      message: (message) => {
        const row = decode(message);
        const set = row && setOf(row);
        if (row === undefined || set === undefined) return;
        if (set === dropsSet)
          for (const { key, packets } of decodeElements(row, ['ifname', 'mark']))
            add(dropReasons[Number(key[1])], packets);
        else if (isCounting(set))
          for (const { packets } of decodeElements(row, sets[set].key)) add(countingSets[set], packets);
      },
      overflow: () => undefined,
    },
    { protocol: Protocol.NETFILTER },
  );
  try {
    await netlink.ask(nft.getElements, [
      ...[...devices].flatMap((device) =>
        reasons.map((_, i) => elementRequest('netdev vifd', dropsSet, [ifname(device), putU32(i + 1)])),
      ),
      ...counting.map(({ set, key }) => elementRequest(sets[set].table, set, [ifname(key[0] ?? '')])),
    ]);
  } finally {
    netlink.close();
  }
  return drops;
}

/** An interface's name as a key has it, in IFNAMSIZ bytes. */
function ifname(name: string): Buffer {
  const padded = Buffer.alloc(16);
  padded.write(name);
  return padded;
}
