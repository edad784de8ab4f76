import { canonical, type Network } from './address.js';
import type { VifId } from './vif-id.js';

// What a vif whose router advertises itself has besides fe80::1: unique local addresses (RFC 4193), of which fd76:6966 spells "vif".
// The guest has none of these networks; its own addresses it gets by DHCPv6.

/** The router's address for what it serves, names first: the same at every vif and on every machine, so that it outlasts a migration. */
export const servingRouter: Network = { family: 6, address: 'fd76:6966:ffff::1', prefix: 64 };

/**
 * The router's address in a network of the vif's own. dnsmasq repeats its advertisements by network, and of several interfaces that
 * share one the first alone hears them (iface_search in its radv.c).
 */
export function advertisedRouter({ domid, devid }: VifId): Network {
  const address = `fd76:6966:${domid.toString(16)}:${devid.toString(16)}::1`;
  return { family: 6, address: canonical({ family: 6, address }), prefix: 64 };
}

/** Whether an address is one of these. It is added without a route to its network, in which there is nobody else. */
export const hasNoRoute = ({ family, address }: Network): boolean =>
  family === 6 && address.startsWith('fd76:6966:');
