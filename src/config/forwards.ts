import { formatNetwork } from '../model/address.js';
import type { Forward } from '../model/forward.js';
import type { Place } from './error.js';
import { integerFrom, oneOf, recordOf } from './kinds.js';
import { hostAddress, macAddress, portNumber } from './network-kinds.js';

/** Where a forwarded port is on this machine. */
export const forwardListen = recordOf(
  { port: portNumber, proto: oneOf(['tcp', 'udp']) },
  { address: hostAddress },
);

/** The guest and its port; {@link forwardsOf} refuses all but one name for the guest. */
export const forwardTo = recordOf(
  { port: portNumber },
  { mac: macAddress, domid: integerFrom(0, 65_535), ip: hostAddress },
);

type Written<Kind extends { read: (...args: never[]) => unknown }> = ReturnType<Kind['read']>;

/**
 * The `[[forward]]` tables as the program uses them.
 * @throws ConfigError where one does not name one guest, or two have a port in common
 */
export function forwardsOf(
  tables: readonly {
    readonly listen?: Written<typeof forwardListen>;
    readonly to?: Written<typeof forwardTo>;
  }[],
  at: Place,
): Forward[] {
  const forwards: Forward[] = [];
  for (const [index, { listen, to }] of tables.entries()) {
    if (listen === undefined || to === undefined) continue;
    const place = at.item(index);
    const { port, proto: protocol, address } = listen;
    const names = [to.mac, to.domid, to.ip].filter((name) => name !== undefined);
    if (names.length !== 1)
      place.key('to').refuse('names a guest by mac, domid or ip, and by one of the three alone');
    if (address !== undefined && to.ip !== undefined && address.family !== to.ip.family)
      place.key('to').refuse('its ip is of another family than the address of listen');
    const forward: Forward = { listen: { protocol, port, ...(address && { address }) }, to };
    const other = forwards.findIndex((one) => collides(one, forward));
    if (other >= 0)
      place
        .key('listen')
        .refuse(
          `${named(forward)} is that of ${at.item(other).name} already; choose another port, or give both an address`,
        );
    forwards.push(forward);
  }
  return forwards;
}

/** Whether two have a port in common. One without an address is at addresses that are not known here. */
const collides = ({ listen: one }: Forward, { listen: other }: Forward): boolean =>
  one.protocol === other.protocol &&
  one.port === other.port &&
  (one.address === undefined ||
    other.address === undefined ||
    formatNetwork(one.address) === formatNetwork(other.address));

const named = ({ listen: { protocol, port, address } }: Forward): string =>
  `${protocol}/${port}${address === undefined ? '' : ` at ${address.address}`}`;
