import { addressValue, formatAddress, type Network, networkOf } from '../../model/address.js';

/** What lies between a guest's address and its router's, in the last octet, as the stock script has it. */
export const routerDistance = 127n;

/** The prefix length an address without one is taken to have: its router differs in the last octet only. */
export const bareLength = 24;

/**
 * The router's address: 127 more in the last octet, or less where that would be beyond 254; in a network smaller than
 * that its first address, or the second when the guest has the first.
 */
export function routerOf(guest: Network): Network {
  const value = addressValue(guest);
  const octet = value & 255n;
  const start = addressValue(networkOf(guest));
  const first = guest.prefix >= 31 ? start : start + 1n;
  const router =
    guest.prefix > bareLength
      ? first === value
        ? first + 1n
        : first
      : octet + routerDistance <= 254n
        ? value + routerDistance
        : value - routerDistance;
  return { ...guest, address: formatAddress(4, router) };
}
