import { canonical, type Network, parseNetwork } from './address.js';
import type { ServedPort } from './filter.js';
import type { Element } from './nft.js';

/** One `[[forward]]` table of the configuration: a port of this domain that leads to a guest behind NAT. */
export interface Forward {
  /** Without an address it is at those of the guest's uplinks. */
  readonly listen: ServedPort & { readonly address?: Network };
  readonly to: ForwardTarget;
}

/** The guest, by one of three names, and its port. */
export interface ForwardTarget {
  readonly mac?: string;
  readonly domid?: number;
  readonly ip?: Network;
  readonly port: number;
}

/** A port at one address of this domain, and where packets to it go instead. */
export interface ForwardedPort extends ServedPort {
  readonly address: Network;
  readonly guest: Network;
  readonly guestPort: number;
}

/** As `vifd status VIF` shows it: `192.0.2.1 tcp/2222 to 10.0.5.1 port 22`. */
export const printForward = ({ address, protocol, port, guest, guestPort }: ForwardedPort): string =>
  `${address.address} ${protocol}/${port} to ${guest.address} port ${guestPort}`;

/** The element that forwards one port. */
export const forwardElement = ({ address, protocol, port, guest, guestPort }: ForwardedPort): Element => ({
  set: `forwards${address.family}`,
  key: [canonical(address), protocol, String(port), canonical(guest), String(guestPort)],
});

/** What an element forwards; undefined for an element of another set. */
export function forwardedBy({ set, key }: Element): ForwardedPort | undefined {
  if (set !== 'forwards4' && set !== 'forwards6') return undefined;
  const [at = '', protocol, port, to = '', guestPort] = key;
  const [address, guest] = [parseNetwork(at), parseNetwork(to)];
  // Another program may have forwarded another protocol.
  if (address === undefined || guest === undefined || (protocol !== 'tcp' && protocol !== 'udp'))
    return undefined;
  return { address, protocol, port: Number(port), guest, guestPort: Number(guestPort) };
}
