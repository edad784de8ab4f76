import type { ActionOf } from '../model/action.js';
import type { Network } from '../model/address.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import type { Link } from '../model/observed.js';

/**
 * Sets the neighbour entries that a device lacks.
 * @param name the device's name by then
 * @param known the entries that are there by then: the MAC address for each address
 */
export function missingNeighbours(
  { index }: Link,
  name: string,
  { mac, neighbours }: DesiredIp,
  known: ReadonlyMap<string, string>,
): ActionOf<'set-neighbour'>[] {
  if (mac === undefined) return [];
  return neighbours
    .filter(({ address }) => known.get(address) !== mac)
    .map((address) => ({ kind: 'set-neighbour', index, name, address, mac }));
}

/**
 * Deletes our neighbour entries of a device that are not wanted.
 * @param name the device's name by then
 */
export function strayNeighbours(
  { index }: Link,
  name: string,
  { mac, neighbours }: DesiredIp,
  { routes }: IpState,
): ActionOf<'delete-neighbour'>[] {
  const hosts = new Set(mac === undefined ? [] : neighbours.map(({ address }) => address));
  return [...routes.neighbours(index).keys()]
    .filter((address) => !hosts.has(address))
    .map((address) => ({ kind: 'delete-neighbour', index, name, address: networkOfHost(address) }));
}

const networkOfHost = (address: string): Network =>
  address.includes(':') ? { family: 6, address, prefix: 128 } : { family: 4, address, prefix: 32 };
