import type { ActionOf, ActionTable } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';

export const conntrackLines: ActionTable<string, 'forget-connections'> = {
  'forget-connections': ({ network }) => `conntrack -D, whatever is of ${formatNetwork(network)}`,
};

/** The commands for it: outgoing connections, incoming ones, and incoming ones by destination NAT. */
export function conntrackCommands({ network }: ActionOf<'forget-connections'>): string {
  const family = network.family === 4 ? 'ipv4' : 'ipv6';
  // It fails where there is no such connection.
  return ['-s', '-d', '-r']
    .map((end) => `conntrack -D -f ${family} ${end} ${formatNetwork(network)} || :`)
    .join('\n');
}
