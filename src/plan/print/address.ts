import type { ActionTable } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';
import { hasNoRoute } from '../../model/router-addresses.js';
import { word } from './word.js';

export const addressLines: ActionTable<string, 'add-address' | 'delete-address'> = {
  // Without duplicate address detection: a route from an address that is still tentative is refused.
  'add-address': ({ address, name }) => {
    const flags = [
      ...(address.family === 6 ? ['nodad'] : []),
      ...(hasNoRoute(address) ? ['noprefixroute'] : []),
    ];
    return ['ip address add', formatNetwork(address), 'dev', word(name), ...flags].join(' ');
  },
  // With its prefix length: ip takes an address alone for a wildcard.
  'delete-address': ({ address: { address, prefix }, name }) =>
    `ip address delete ${address}/${prefix} dev ${word(name)}`,
};
