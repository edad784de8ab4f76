import type { Config } from '../../config/config.js';
import type { Forward } from '../../model/forward.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { Facts } from './facts.js';
import { type Finding, note, ok, warning } from './finding.js';
import type { Listening } from './listening.js';

/** The ports of `[[forward]]`: which of them this domain serves itself, and which name a guest that there is not. */
export function aboutForwards(
  { xenstore, listening = [] }: Pick<Facts, 'xenstore' | 'listening'>,
  { forwards }: Pick<Config, 'forwards'>,
): Finding[] {
  if (forwards.length === 0) return [];
  const served = forwards.flatMap((forward, at) =>
    listening.some((socket) => isAt(socket, forward))
      ? [
          warning(
            '[[forward]]',
            `${named(forward, at)} is a port that this domain serves: what comes from elsewhere goes to the guest, and its own server is not reached`,
            'choose another port, or have the server listen at another address',
          ),
        ]
      : [],
  );
  const vifs = 'reason' in xenstore ? undefined : xenstore.vifs;
  const unmatched = forwards.flatMap((forward, at) =>
    vifs === undefined || vifs.some((vif) => isMeant(forward, vif))
      ? []
      : [
          note(
            '[[forward]]',
            `${named(forward, at)} leads to none of the ${vifs.length} vifs there are`,
            'compare mac, ip and domid with "vifd status", unless the guest is still to come',
          ),
        ],
  );
  const found = [...served, ...unmatched];
  return found.length > 0
    ? found
    : [ok('[[forward]]', 'each port leads to a guest, and none is served here')];
}

const named = ({ listen: { protocol, port } }: Forward, at: number): string =>
  `table ${at + 1} (${protocol}/${port})`;

/** Whether a server has the port. One that listens at every address has it, and one of the loopback's alone has not. */
const isAt = (socket: Listening, { listen }: Forward): boolean =>
  socket.protocol === listen.protocol &&
  socket.port === listen.port &&
  (socket.address === undefined ||
    (listen.address === undefined
      ? !/^(127\.|::1$)/.test(socket.address)
      : socket.address === listen.address.address));

/** Whether a table may mean a vif, by the keys of xenstore alone. */
const isMeant = ({ to }: Forward, { id, mac, ip }: VifSnapshot): boolean =>
  (to.mac !== undefined && to.mac === mac) ||
  (to.domid !== undefined && to.domid === id.domid) ||
  (to.ip !== undefined && (ip.length === 0 || ip.some(({ address }) => address === to.ip?.address)));
