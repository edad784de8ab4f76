import type { ActionOf, ActionTable } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';

export const conntrackLines: ActionTable<string, 'forget-connections'> = {
  'forget-connections': ({ network, untranslated }) =>
    `conntrack -D, all entries ${untranslated ? 'that began untranslated at' : 'of'} ${formatNetwork(network)}`,
};

/** The commands for it: outgoing connections, incoming ones, and incoming ones by destination NAT. */
export function conntrackCommands({ network, untranslated }: ActionOf<'forget-connections'>): string {
  const family = network.family === 4 ? 'ipv4' : 'ipv6';
  const of = formatNetwork(network);
  const ends = untranslated ? [`-s ${of} -q ${of}`] : ['-s', '-d', '-r'].map((end) => `${end} ${of}`);
  // It fails where there is no such connection.
  return ends.map((end) => `conntrack -D -f ${family} ${end} || :`).join('\n');
}
