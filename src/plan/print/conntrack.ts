import type { ActionOf, ActionTable } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';

type Forget = ActionOf<'forget-connections'>;

export const conntrackLines: ActionTable<string, 'forget-connections'> = {
  'forget-connections': ({ network, untranslated, port }) => {
    const of = formatNetwork(network);
    if (port === undefined)
      return `conntrack -D, all entries ${untranslated ? 'that began untranslated at' : 'of'} ${of}`;
    const but =
      port.guest === undefined ? '' : ` that do not lead to ${port.guest.address} port ${port.guest.port}`;
    return `conntrack -D, all entries to ${of} ${port.protocol}/${port.port}${but}`;
  },
};

/** The commands for it: outgoing connections, incoming ones, and incoming ones by destination NAT. */
export function conntrackCommands({ network, untranslated, port }: Forget): string {
  const family = network.family === 4 ? 'ipv4' : 'ipv6';
  const of = formatNetwork(network);
  // conntrack(8) has no words for those that lead elsewhere.
  const ends = port
    ? [`-p ${port.protocol} -d ${of} --dport ${port.port}`]
    : untranslated
      ? [`-s ${of} -q ${of}`]
      : ['-s', '-d', '-r'].map((end) => `${end} ${of}`);
  // It fails where there is no such connection.
  return ends.map((end) => `conntrack -D -f ${family} ${end} || :`).join('\n');
}
