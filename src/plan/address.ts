import type { ActionOf } from '../model/action.js';
import { formatNetwork, type Network } from '../model/address.js';
import type { Link } from '../model/observed.js';

/**
 * Deletes the addresses of a link that are not wanted.
 * @param name the device's name by then
 */
export function strayAddresses(
  { index, addresses }: Link,
  name: string,
  wanted: readonly Network[],
): ActionOf<'delete-address'>[] {
  const texts = wanted.map(formatNetwork);
  return addresses
    .filter((address) => !texts.includes(formatNetwork(address)))
    .map((address) => ({ kind: 'delete-address', index, name, address }));
}

/**
 * Adds the addresses that a link lacks.
 * @param name the device's name by then
 * @param flushed whether the link has been down by then: what is down has no IPv6 addresses
 */
export function missingAddresses(
  { index, addresses }: Link,
  name: string,
  wanted: readonly Network[],
  flushed: boolean,
): ActionOf<'add-address'>[] {
  const held = new Set(
    addresses.filter(({ family }) => family === 4 || !flushed).map((address) => formatNetwork(address)),
  );
  return wanted
    .filter((address) => !held.has(formatNetwork(address)))
    .map((address) => ({ kind: 'add-address', index, name, address }));
}
