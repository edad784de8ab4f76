import type { IpAction } from '../model/action.js';
import { formatNetwork, type Network } from '../model/address.js';
import type { Link } from '../model/observed.js';

export function strayAddresses(
  link: Link,
  wanted: readonly Network[],
): (IpAction & { readonly kind: 'delete-address' })[] {
  const texts = wanted.map(formatNetwork);
  return link.addresses
    .filter((address) => !texts.includes(formatNetwork(address)))
    .map((address) => ({ kind: 'delete-address', index: link.index, name: link.name, address }));
}
